"""Pixel counts of masks, and what they say of one expression, as pure functions."""
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

    Raises:
        ValueError: The shapes differ.

    Examples:
        >>> iou(torch.tensor([1, 0]), torch.tensor([2, 0]))
        tensor([0.5000, 1.0000], dtype=torch.float64)
        >>> iou(torch.tensor([1, 0]), torch.tensor([2, 0]), empty_iou=0.0)
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    intersection, union = torch.as_tensor(intersection), torch.as_tensor(union)
    if intersection.shape != union.shape:
        raise ValueError('Expected arguments `intersection` and `union` to have the same shape, but got '
                         f'{tuple(intersection.shape)} and {tuple(union.shape)}')
    denominator = union.double() + eps
    empty = denominator == 0
    value = intersection.double() / denominator.masked_fill(empty, 1.0)
    return value.masked_fill(empty, empty_iou)


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
