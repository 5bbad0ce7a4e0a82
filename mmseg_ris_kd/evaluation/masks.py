"""From a data sample to the two masks that a protocol compares."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .protocols import Protocol

IDENTITY = ('img_path', 'ref_id', 'sent_id')


def describe(sample: Mapping[str, Any]) -> str:
    """Name a sample in an error message.

    Args:
        sample: Data sample as a dict.

    Returns:
        Such as ``"sample img_path='a.jpg' ref_id=3 sent_id=7"``.
    """
    return 'sample ' + ' '.join(f'{key}={sample.get(key)!r}' for key in IDENTITY)


def foreground_mask(logits: Tensor, *, mask_rule: str, threshold: float = 0.5) -> Tensor:
    """Turn logits into a mask.

    Args:
        logits: Mask logits Z with shape (1, H, W), or (2, H, W) with the foreground second.
        mask_rule: ``'argmax'`` or ``'threshold'``, see :class:`~mmseg_ris_kd.evaluation.protocols.Protocol`.
        threshold: Foreground probability above which a pixel is foreground, for ``'threshold'``.

    Returns:
        Boolean mask with shape (H, W).

    Raises:
        ValueError: The logits have neither one nor two channels, or the rule is unknown.

    Examples:
        >>> foreground_mask(torch.tensor([[[-0.7, -0.6]]]), mask_rule='threshold', threshold=0.35)
        tensor([[False,  True]])
    """
    if logits.ndim != 3 or logits.shape[0] not in (1, 2):
        raise ValueError(f'Expected logits with shape (1, H, W) or (2, H, W), but got {tuple(logits.shape)}')
    # the softmax of two logits is the sigmoid of their difference, argmax its sign (a tie is background)
    score = logits[0].float() if logits.shape[0] == 1 else logits[1].float() - logits[0].float()
    if mask_rule == 'argmax':
        return score > 0
    if mask_rule == 'threshold':
        return score.sigmoid() > threshold
    raise ValueError(f"Expected argument `mask_rule` to be 'argmax' or 'threshold', but got {mask_rule!r}")


def predicted_mask(sample: Mapping[str, Any], protocol: Protocol) -> Tensor:
    """The predicted mask that a protocol asks for.

    A segmentor stores three things per sample: ``pred_sem_seg`` (1, H, W), its mask at the original size;
    ``seg_logits`` (C, H, W), its logits at the original size; and, with ``test_cfg=dict(keep_input_logits=True)``,
    ``input_seg_logits`` (C, h, w), its logits at the network's input size, before they were resized. Protocols at the
    input resolution read the last: going back from the original size would resize twice, which the published code does
    not do. ``seg_logits`` must be raw logits (mmseg's own segmentors store probabilities when there is one channel).

    Args:
        sample: Data sample as a dict, as mmengine's evaluator hands it over.
        protocol: Protocol.

    Returns:
        Mask with shape (H, W) or (h, w).

    Raises:
        ValueError: The sample lacks the field that the protocol reads, or it has a wrong shape.
    """
    if protocol.mask_rule == 'prediction':
        return plane(sample, 'pred_sem_seg')
    field = 'input_seg_logits' if protocol.resolution == 'input' else 'seg_logits'
    logits = _data(sample, field)
    if logits is None:
        fix = ('set model.test_cfg=dict(keep_input_logits=True), or choose a protocol at the original resolution'
               if field == 'input_seg_logits' else "predict with a segmentor that stores them, or choose "
               "protocol='ours', which takes its masks")
        raise ValueError(f'{describe(sample)} has no `{field}`, from which protocol "{protocol.name}" makes its mask: '
                         f'{fix}')
    try:
        return foreground_mask(logits, mask_rule=protocol.mask_rule, threshold=protocol.mask_threshold)
    except ValueError as error:
        raise ValueError(f'{describe(sample)}: `{field}`: {error}') from error


def target_mask(sample: Mapping[str, Any], *, size: tuple[int, int] | None = None) -> Tensor:
    """The target mask of a sample.

    Args:
        sample: Data sample as a dict.
        size: (h, w) to resize to with pillow's nearest neighbour, as the reference transforms do; None: as it is.

    Returns:
        Mask with shape (H, W) or (h, w).

    Raises:
        ValueError: The sample has no ``gt_sem_seg``, or it has a wrong shape.
    """
    mask = plane(sample, 'gt_sem_seg')
    if size is None or tuple(mask.shape) == tuple(size):
        return mask
    image = Image.fromarray(mask.cpu().numpy().astype(np.uint8))
    return torch.from_numpy(np.array(image.resize((size[1], size[0]), Image.NEAREST)))


def plane(sample: Mapping[str, Any], field: str) -> Tensor:
    """Read a one-channel mask field of a sample.

    Args:
        sample: Data sample as a dict.
        field: ``'pred_sem_seg'`` or ``'gt_sem_seg'``, with shape (1, H, W) or (H, W).

    Returns:
        Tensor with shape (H, W).

    Raises:
        ValueError: The field is absent or has another shape.
    """
    data = _data(sample, field)
    if data is None:
        fix = ('load it in the test pipeline (LoadReferringMask) and pack it' if field == 'gt_sem_seg' else
               'the model must be run in predict mode')
        raise ValueError(f'{describe(sample)} has no `{field}`: {fix}')
    if data.ndim == 3 and data.shape[0] == 1:
        data = data[0]  # 1 x H x W -> H x W
    if data.ndim != 2:
        raise ValueError(f'{describe(sample)}: expected `{field}` with shape (1, H, W), but got {tuple(data.shape)}')
    return data


def _data(sample: Mapping[str, Any], field: str) -> Tensor | None:
    value: dict[str, Any] | None = sample.get(field)
    if value is None or value.get('data') is None:
        return None
    return torch.as_tensor(value['data'])
