"""The state of the metric: sums over expressions, and the scores computed from them."""
from __future__ import annotations

from dataclasses import astuple, dataclass, field

import torch

from .functional import MaskStatistics, exceeds, iou
from .protocols import Protocol


@dataclass
class RISSums:
    """Sums over expressions; a few numbers, however large the dataset is.

    "No target" is the positive class of the four counts at the end, as in gRefCOCO.

    Args:
        expressions: Number of expressions.
        intersection: Sum of I, in pixels.
        union: Sum of U, in pixels.
        empty_unions: Expressions with U = 0.
        true_positives: No target, empty prediction.
        false_negatives: No target, something predicted.
        true_negatives: A target, something predicted.
        false_positives: A target, empty prediction.
        hits: Expressions that reach each threshold of Pr@X; as long as the protocol's thresholds.
        iou: Sum of the protocol's IoUs.
        generalized_iou: Sum of the IoUs of gIoU, where both masks empty count 1 whatever the protocol.
    """
    expressions: int = 0
    intersection: int = 0
    union: int = 0
    empty_unions: int = 0
    true_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0
    false_positives: int = 0
    hits: list[int] = field(default_factory=list)
    iou: float = 0.0
    generalized_iou: float = 0.0

    def __add__(self, other: RISSums) -> RISSums:
        if not isinstance(other, RISSums):
            return NotImplemented
        (*counts, hits, iou_sum, generalized), theirs = astuple(self), astuple(other)
        return RISSums(*[a + b for a, b in zip(counts, theirs)],
                       [a + b for a, b in zip(hits, other.hits)],
                       iou_sum + other.iou, generalized + other.generalized_iou)

    def to_tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Counts as int64 with shape (8 + T,) and IoUs as float64 with shape (2,), both exact, for ``all_reduce``."""
        *counts, hits, iou_sum, generalized = astuple(self)
        return torch.tensor([*counts, *hits]), torch.tensor([iou_sum, generalized], dtype=torch.float64)

    @classmethod
    def from_tensors(cls, counts: torch.Tensor, ious: torch.Tensor) -> RISSums:
        """The inverse of :meth:`to_tensors`."""
        counts = counts.tolist()
        return cls(*counts[:8], counts[8:], *ious.tolist())


def sums_of(statistics: MaskStatistics, protocol: Protocol, *, generalized: bool = False) -> tuple[RISSums, float]:
    """The contribution of one expression.

    Args:
        statistics: Pixel counts with shape ().
        protocol: Protocol.
        generalized: Whether no-target expressions are left out of Pr@X, as gRefCOCO does.

    Returns:
        The sums of this one expression, and its IoU under the protocol.
    """
    intersection, union, prediction, target = (int(x) for x in torch.stack(list(statistics)).tolist())
    counts = torch.tensor([intersection]), torch.tensor([union])
    value = iou(*counts, empty_iou=protocol.empty_iou, eps=protocol.eps)
    hits = exceeds(value, protocol.thresholds, comparison=protocol.comparison)[0].int().tolist()
    if generalized and target == 0:
        hits = [0] * len(hits)
    return RISSums(
        expressions=1,
        intersection=intersection,
        union=union,
        empty_unions=int(union == 0),
        true_positives=int(target == 0 and prediction == 0),
        false_negatives=int(target == 0 and prediction > 0),
        true_negatives=int(target > 0 and prediction > 0),
        false_positives=int(target > 0 and prediction == 0),
        hits=hits,
        iou=value.item(),
        generalized_iou=iou(*counts, empty_iou=1.0).item()), value.item()


def scores_of(sums: RISSums, protocol: Protocol, *, generalized: bool = False) -> dict[str, float]:
    """Compute the scores from the sums.

    - ``mIoU``: mean over expressions of I / U (not mmseg's class average);
    - ``oIoU``, also called cIoU: sum I / sum U, so that large objects count more;
    - ``Pr@X``: fraction of the expressions whose IoU reaches X.

    Generalized referring segmentation (gRefCOCO) adds four, with "no target" as the positive class (TP: no target and
    an empty prediction):

    - ``gIoU``: mean over expressions of I / U; without a target 1 if the prediction is empty, else 0;
    - ``cIoU``: sum I / sum U; a true positive adds nothing, a no-target expression with a prediction adds that
      prediction's area to the union;
    - ``N-acc = TP / (TP + FN)``: no-target expressions recognised as such;
    - ``T-acc = TN / (TN + FP)``: expressions with a target for which something was predicted.

    These are the definitions of the paper [0]. Its evaluation code [1] computes ``TP / (TP + FN + 1)`` for N-acc and
    ``TP / (TP + FP + 1)`` under the name T-acc, and takes "no target" from a classifier of the model instead of from
    an empty mask; its gIoU and cIoU are the ones computed here.

    [0] GRES: Generalized Referring Expression Segmentation, CVPR 2023, https://arxiv.org/abs/2306.00968
    [1] https://github.com/henghuiding/ReLA, gres_model/evaluation/refer_evaluation.py

    Args:
        sums: Sums over all expressions.
        protocol: The protocol they were made under.
        generalized: Adds gIoU, cIoU, N-acc and T-acc; the sums must have been made with it too.

    Returns:
        Scores in percent by name: ``mIoU``, ``oIoU``, ``Pr@0.5``, ... NaN where there was nothing to evaluate.

    Examples:
        >>> from mmseg_ris_kd.evaluation import get_protocol, mask_statistics
        >>> protocol = get_protocol('ours', dict(thresholds=[0.5, 0.7]))
        >>> masks = ([[1, 1, 0, 0]], [[0, 1, 0, 0]]), ([[1, 1, 1, 1]], [[1, 1, 1, 0]])
        >>> first, second = (sums_of(mask_statistics(*pair), protocol)[0] for pair in masks)
        >>> {name: round(score, 2) for name, score in scores_of(first + second, protocol).items()}
        {'mIoU': 62.5, 'oIoU': 66.67, 'Pr@0.5': 100.0, 'Pr@0.7': 50.0}
    """
    scores = {'mIoU': _percent(sums.iou, sums.expressions), 'oIoU': _percent(sums.intersection, sums.union)}
    with_target = sums.true_negatives + sums.false_positives
    counted = with_target if generalized else sums.expressions
    scores.update((name, _percent(hits, counted)) for name, hits in zip(protocol.precision_names, sums.hits))
    if generalized:
        without_target = sums.true_positives + sums.false_negatives
        scores.update({
            'gIoU': _percent(sums.generalized_iou, sums.expressions),
            'cIoU': _percent(sums.intersection, sums.union),
            'N-acc': _percent(sums.true_positives, without_target),
            'T-acc': _percent(sums.true_negatives, with_target),
        })
    return scores


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else float('nan')
