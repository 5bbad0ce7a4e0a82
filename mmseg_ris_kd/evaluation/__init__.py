"""Evaluation: pure functions, protocols, the metric, and predictions on disk."""
from .functional import (
    MaskStatistics,
    clear_small_predictions,
    exceeds,
    generalized_scores,
    intersection_and_union,
    iou,
    mask_statistics,
    mean_iou,
    overall_iou,
    precision_at,
)
from .predictions import read_predictions
from .protocols import PROTOCOLS, Protocol, get_protocol
from .ris_metric import RISMetric

__all__ = [
    'PROTOCOLS', 'MaskStatistics', 'Protocol', 'RISMetric', 'clear_small_predictions', 'exceeds', 'generalized_scores',
    'get_protocol', 'intersection_and_union', 'iou', 'mask_statistics', 'mean_iou', 'overall_iou', 'precision_at',
    'read_predictions'
]
