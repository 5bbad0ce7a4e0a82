"""The numbers of referring image segmentation as pure functions of masks and of pixel counts."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

import numpy as np
import torch
from torch import Tensor

Mask = Union[Tensor, np.ndarray]
COMPARISONS = ('>=', '>')


class MaskStatistics(NamedTuple):
    """Pixel counts that every metric here is computed from, each an int64 tensor with shape () or (N,).

    Args:
        intersection: Pixels in both masks, I.
        union: Pixels in at least one mask, U.
        prediction: Pixels in the predicted mask.
        target: Pixels in the target mask; 0 for an expression without a target.
    """
    intersection: Tensor
    union: Tensor
    prediction: Tensor
    target: Tensor


def as_mask(mask: Mask, *, name: str = 'mask') -> Tensor:
    """Validate a mask.

    Args:
        mask: Mask with shape (H, W) or (N, H, W) and values {0, 1}, of any type.
        name: What to call it in an error.

    Returns:
        The mask as a boolean tensor.

    Raises:
        ValueError: The shape is another, or a value is neither 0 nor 1.
    """
    mask = torch.as_tensor(mask)
    if mask.ndim not in (2, 3):
        raise ValueError(f'Expected argument `{name}` to have shape (H, W) or (N, H, W), but got {tuple(mask.shape)}')
    if mask.dtype != torch.bool:
        foreground = mask == 1
        stray = ~foreground & (mask != 0)
        if bool(stray.any()):
            raise ValueError(f'Expected argument `{name}` to hold only 0 and 1, but it also holds '
                             f'{mask[stray][0].item()} ({int(stray.sum())} such pixels): threshold it first')
        mask = foreground
    return mask


def mask_statistics(prediction: Mask, target: Mask) -> MaskStatistics:
    """Count the pixels of a predicted and a target mask.

    Args:
        prediction: Predicted mask with shape (H, W) or (N, H, W) and values {0, 1}.
        target: Target mask, same shape and values.

    Returns:
        Counts with shape () or (N,), on the device of the prediction.

    Raises:
        ValueError: The shapes differ, are not (H, W) or (N, H, W), or a value is neither 0 nor 1.

    Examples:
        >>> mask_statistics(torch.tensor([[1, 1, 0]]), torch.tensor([[0, 1, 1]]))._asdict()
        {'intersection': tensor(1), 'union': tensor(3), 'prediction': tensor(2), 'target': tensor(2)}
    """
    prediction, target = as_mask(prediction, name='prediction'), as_mask(target, name='target')
    if prediction.shape != target.shape:
        raise ValueError('Expected arguments `prediction` and `target` to have the same shape, but got '
                         f'{tuple(prediction.shape)} and {tuple(target.shape)}')
    target = target.to(prediction.device)
    counts = [mask.sum(dim=(-2, -1)) for mask in (prediction & target, prediction | target, prediction, target)]
    return MaskStatistics(*counts)


def intersection_and_union(prediction: Mask, target: Mask) -> tuple[Tensor, Tensor]:
    """Count the pixels in the intersection and in the union of two masks.

    Args:
        prediction: Predicted mask with shape (H, W) or (N, H, W) and values {0, 1}.
        target: Target mask, same shape and values.

    Returns:
        I and U, int64 tensors with shape () or (N,).

    Raises:
        ValueError: See :func:`mask_statistics`.

    Examples:
        >>> intersection_and_union(np.array([[1, 1, 0]]), np.array([[0, 1, 1]]))
        (tensor(1), tensor(3))
    """
    return mask_statistics(prediction, target)[:2]


def _validate_counts(intersection: Tensor, union: Tensor) -> tuple[Tensor, Tensor]:
    intersection, union = torch.as_tensor(intersection), torch.as_tensor(union)
    if intersection.shape != union.shape:
        raise ValueError('Expected arguments `intersection` and `union` to have the same shape, but got '
                         f'{tuple(intersection.shape)} and {tuple(union.shape)}')
    return intersection, union


def iou(intersection: Tensor, union: Tensor, *, empty_iou: float = 1.0, eps: float = 0.0) -> Tensor:
    """Intersection over union, ``I / (U + eps)``, in float64.

    An empty prediction of an existing target, and any prediction of an absent one, are 0 by the formula. Only the case
    of both masks empty (U = 0) needs a convention, and the field has several.

    Args:
        intersection: I with any shape.
        union: U, same shape.
        empty_iou: Value where U + eps is 0: 1 (nothing was to be found, nothing was), 0 (LAVT), or NaN (CARIS).
        eps: Added to the union; 1e-6 in CRIS, ETRIS and DETRIS, where both masks empty then gives 0.

    Returns:
        Float64 tensor of the same shape.

    Examples:
        >>> iou(torch.tensor([1, 0]), torch.tensor([2, 0]))
        tensor([0.5000, 1.0000], dtype=torch.float64)
        >>> iou(torch.tensor([1, 0]), torch.tensor([2, 0]), empty_iou=0.0)
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    intersection, union = _validate_counts(intersection, union)
    denominator = union.double() + eps
    empty = denominator == 0
    value = intersection.double() / denominator.masked_fill(empty, 1.0)
    return value.masked_fill(empty, empty_iou)


def mean_iou(intersection: Tensor, union: Tensor, *, empty_iou: float = 1.0, eps: float = 0.0) -> Tensor:
    """mIoU of the field: the mean over expressions of I / U (not mmseg's class average).

    Args:
        intersection: I with shape (N,), one value per expression.
        union: U with shape (N,).
        empty_iou: See :func:`iou`. With NaN, one expression with both masks empty makes the mean NaN, as in CARIS.
        eps: See :func:`iou`.

    Returns:
        Float64 scalar in [0, 1]; NaN for N = 0.

    Examples:
        >>> mean_iou(torch.tensor([1, 3]), torch.tensor([2, 4]))
        tensor(0.6250, dtype=torch.float64)
    """
    return iou(intersection, union, empty_iou=empty_iou, eps=eps).mean()


def overall_iou(intersection: Tensor, union: Tensor) -> Tensor:
    """oIoU (also called cIoU): ``sum I / sum U``, so that large objects count more.

    Args:
        intersection: I with shape (N,).
        union: U with shape (N,).

    Returns:
        Float64 scalar in [0, 1]; NaN where the sum of U is 0.

    Examples:
        >>> overall_iou(torch.tensor([1, 3]), torch.tensor([2, 6]))
        tensor(0.5000, dtype=torch.float64)
    """
    intersection, union = _validate_counts(intersection, union)
    return intersection.sum().double() / union.sum().double()


def exceeds(ious: Tensor, thresholds: Sequence[float], *, comparison: str = '>=') -> Tensor:
    """Compare IoUs with thresholds in float64; NaN exceeds none.

    Args:
        ious: IoUs with shape (N,).
        thresholds: T values in [0, 1].
        comparison: ``'>='`` (LAVT, CARIS) or ``'>'`` (CRIS, ETRIS, DETRIS).

    Returns:
        Boolean tensor with shape (N, T).

    Raises:
        ValueError: `comparison` is another string.

    Examples:
        >>> exceeds(torch.tensor([0.5]), [0.5, 0.6]), exceeds(torch.tensor([0.5]), [0.5], comparison='>')
        (tensor([[ True, False]]), tensor([[False]]))
    """
    if comparison not in COMPARISONS:
        raise ValueError(f'Expected argument `comparison` to be one of {COMPARISONS}, but got {comparison!r}')
    ious = torch.as_tensor(ious).double()[:, None]  # N -> N x 1, against T
    thresholds = torch.as_tensor(thresholds, dtype=torch.float64, device=ious.device)
    return ious >= thresholds if comparison == '>=' else ious > thresholds


def precision_at(ious: Tensor, thresholds: Sequence[float], *, comparison: str = '>=') -> Tensor:
    """Pr@X: the fraction of expressions whose IoU reaches X.

    Args:
        ious: IoUs with shape (N,).
        thresholds: T values in [0, 1].
        comparison: See :func:`exceeds`.

    Returns:
        Float64 tensor with shape (T,), values in [0, 1].

    Examples:
        >>> precision_at(torch.tensor([0.5, 0.8]), [0.5, 0.7])
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    return exceeds(ious, thresholds, comparison=comparison).double().mean(dim=0)


def clear_small_predictions(statistics: MaskStatistics, *, min_area: int) -> MaskStatistics:
    """Count predictions of fewer than `min_area` pixels as "there is no target", i.e. as empty masks.

    Args:
        statistics: Counts with shape () or (N,).
        min_area: Smallest number of foreground pixels of a prediction that stands; 1 changes nothing.

    Returns:
        Counts of the same shape.

    Examples:
        >>> s = mask_statistics(torch.tensor([[1, 1, 0]]), torch.tensor([[0, 1, 1]]))
        >>> clear_small_predictions(s, min_area=3)._asdict()
        {'intersection': tensor(0), 'union': tensor(2), 'prediction': tensor(0), 'target': tensor(2)}
    """
    small = statistics.prediction < min_area
    return MaskStatistics(
        statistics.intersection.masked_fill(small, 0), torch.where(small, statistics.target, statistics.union),
        statistics.prediction.masked_fill(small, 0), statistics.target)


def generalized_scores(statistics: MaskStatistics) -> dict[str, float]:
    """gIoU, cIoU, N-acc and T-acc of generalized referring segmentation (gRefCOCO).

    With "no target" as the positive class (TP: no target and an empty prediction):

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
        statistics: Counts with shape (N,).

    Returns:
        The four scores in [0, 1]; NaN where nothing of the kind was evaluated.

    Examples:
        >>> s = mask_statistics(torch.tensor([[[0, 0]], [[1, 1]]]), torch.tensor([[[0, 0]], [[0, 1]]]))
        >>> generalized_scores(s)
        {'gIoU': 0.75, 'cIoU': 0.5, 'N-acc': 1.0, 'T-acc': 1.0}
    """
    no_target, empty = statistics.target == 0, statistics.prediction == 0
    return {
        'gIoU': mean_iou(statistics.intersection, statistics.union, empty_iou=1.0).item(),
        'cIoU': overall_iou(statistics.intersection, statistics.union).item(),
        'N-acc': empty[no_target].double().mean().item(),
        'T-acc': (~empty[~no_target]).double().mean().item(),
    }
