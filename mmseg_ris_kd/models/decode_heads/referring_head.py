"""What every decode head of a referring segmentor shares: the record it reads and writes, and the mask loss."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from ...structures import RISFeatures


class ReferringHead(BaseDecodeHead):
    """Base of the heads that turn features into the mask logits of one expression per image.

    A head reads a ``RISFeatures`` record and returns a copy of it with ``decoded`` and ``logits`` filled in. The mask
    loss is built from ``loss_decode`` as in every MMSegmentation head. Nothing outside the head knows how many logit
    channels there are: ``predict_mask`` turns logits into a mask.

    Args:
        in_channels: Channels of the features that the head reads, shallow to deep.
        channels: Channels of the feature that the final 1x1 convolution ``conv_seg`` reads.
        out_channels: Logit channels: 2 (background and foreground, argmax) or 1 (foreground, sigmoid and threshold).
        threshold: Foreground probability above which a pixel belongs to the mask; used with one logit channel.
        dropout_ratio: Probability of dropping a channel before the final convolution.
        norm_cfg: Config of the normalization layers.
        act_cfg: Config of the activation layers.
        loss_decode: Config of the mask loss, or a list of them.
        align_corners: How logits are resized, see ``torch.nn.functional.interpolate``.
        init_cfg: Initialization of the weights.

    Raises:
        ValueError: ``out_channels`` is neither 1 nor 2, or ``threshold`` lies outside (0, 1).
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int,
                 *,
                 out_channels: int = 2,
                 threshold: float = 0.5,
                 dropout_ratio: float = 0.,
                 norm_cfg: dict | None = dict(type='BN'),  # noqa: B006  configs are never mutated
                 act_cfg: dict | None = dict(type='ReLU'),  # noqa: B006
                 loss_decode: dict | Sequence[dict] = dict(type='CrossEntropyLoss'),  # noqa: B006
                 align_corners: bool = False,
                 init_cfg: dict | list[dict] | None = None):
        if out_channels not in (1, 2):
            raise ValueError(f'decode_head.out_channels must be 1 (sigmoid) or 2 (softmax), but got {out_channels}')
        if not 0 < threshold < 1:
            raise ValueError(f'decode_head.threshold is a probability between 0 and 1, but got {threshold}')
        super().__init__(
            list(in_channels),
            channels,
            num_classes=2,
            out_channels=out_channels,
            threshold=threshold,
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            in_index=list(range(len(in_channels))),
            input_transform='multiple_select',
            loss_decode=loss_decode,
            align_corners=align_corners,
            init_cfg=init_cfg)

    @abstractmethod
    def forward(self, features: RISFeatures) -> RISFeatures:
        """Return ``features`` with ``decoded`` and ``logits`` (B, 1 or 2, H', W') filled in."""

    @property
    @abstractmethod
    def feature_channels(self) -> dict[str, tuple[int, ...]]:
        """Channels of what the model hands out, shallow to deep: by field of ``RISFeatures``."""

    def loss(self, features: RISFeatures, data_samples: list) -> dict:
        """Compute the mask loss of a record that this head has filled in.

        Args:
            features: Record with ``logits`` of shape (B, 1 or 2, H', W'); resized to the target masks.
            data_samples: B samples with ``gt_sem_seg`` of shape (1, H, W) and values {0, 1}.

        Returns:
            The losses by name, as ``loss_decode`` names them.
        """
        # float32: mmseg makes the class weights in the dtype of the logits
        losses = self.loss_by_feat(features.logits.float(), data_samples)
        losses.pop('acc_seg')  # pixel accuracy says nothing where most pixels are background
        return losses

    def predict_mask(self, logits: Tensor) -> Tensor:
        """Turn logits of shape (..., 1 or 2, H, W) into a mask of shape (..., H, W), uint8 with values {0, 1}."""
        if self.out_channels == 2:
            return logits.argmax(dim=-3).to(torch.uint8)
        return (logits.sigmoid() > self.threshold).squeeze(-3).to(torch.uint8)
