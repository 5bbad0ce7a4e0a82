"""Evaluation: pure functions, protocols, the metric, and predictions on disk."""
from .functional import (
    MaskStatistics,
    clear_small_predictions,
    exceeds,
    intersection_and_union,
    iou,
    mask_statistics,
)
from .predictions import read_predictions
from .protocols import PROTOCOLS, Protocol, get_protocol
from .ris_metric import RISMetric
from .sums import RISSums, scores_of, sums_of

__all__ = [
    'PROTOCOLS', 'MaskStatistics', 'Protocol', 'RISMetric', 'RISSums', 'clear_small_predictions', 'exceeds',
    'get_protocol', 'intersection_and_union', 'iou', 'mask_statistics', 'read_predictions', 'scores_of', 'sums_of'
]
