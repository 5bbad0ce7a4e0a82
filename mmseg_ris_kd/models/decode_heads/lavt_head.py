"""Decoder of LAVT: fused features from coarse to fine, two convolutions per stage."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import RISFeatures
from .referring_head import ReferringHead


@MODELS.register_module()
class LAVTHead(ReferringHead):
    """Decode head of LAVT [0].

    y_4 = LayerNorm(F_4); for i = 3, 2, 1: y = block([upsample(y), LayerNorm(F_i)]), where a block is two times
    (3x3 convolution without bias, normalization, activation); the logits are a 1x1 convolution of the last y.

    - [0]: LAVT: Language-Aware Vision Transformer for Referring Image Segmentation, CVPR 2022,
      https://arxiv.org/abs/2112.02244

    Args:
        in_channels: Channels of the fused features F_i, shallow to deep.
        channels: Hidden channels of every block. None: half of the deepest features' channels, as in LAVT.
        out_channels: Logit channels: 2 (background and foreground, as in LAVT) or 1.
        threshold: Foreground probability above which a pixel belongs to the mask; used with one logit channel.
        dropout_ratio: Probability of dropping a channel before the final convolution; LAVT has none.
        norm_cfg: Config of the blocks' normalization.
        act_cfg: Config of the blocks' activation.
        loss_decode: Config of the mask loss, or a list of them. LAVT weights the classes with [0.9, 1.1].
        align_corners: How features and logits are resized; True in LAVT.
        init_cfg: Initialization of the weights.

    Raises:
        ValueError: ``in_channels`` has fewer than two entries.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int | None = None,
                 *,
                 out_channels: int = 2,
                 threshold: float = 0.5,
                 dropout_ratio: float = 0.,
                 norm_cfg: dict | None = dict(type='BN'),  # noqa: B006  configs are never mutated
                 act_cfg: dict | None = dict(type='ReLU'),  # noqa: B006
                 loss_decode: dict | Sequence[dict] = dict(  # noqa: B006
                     type='CrossEntropyLoss', class_weight=[0.9, 1.1], avg_non_ignore=True),
                 align_corners: bool = True,
                 init_cfg: dict | list[dict] | None = None):
        if len(in_channels) < 2:
            raise ValueError(f'LAVTHead needs features of at least two stages, but got in_channels={in_channels}')
        channels = in_channels[-1] // 2 if channels is None else channels
        super().__init__(
            in_channels,
            channels,
            out_channels=out_channels,
            threshold=threshold,
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            loss_decode=loss_decode,
            align_corners=align_corners,
            init_cfg=init_cfg)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in in_channels)
        self.blocks = nn.ModuleList()  # deep to shallow, the order in which they run
        width = in_channels[-1]
        for skip in reversed(in_channels[:-1]):
            self.blocks.append(nn.Sequential(self._convolution(width + skip), self._convolution(channels)))
            width = channels

    def _convolution(self, in_channels: int) -> ConvModule:
        return ConvModule(in_channels, self.channels, 3, padding=1, bias=False, norm_cfg=self.norm_cfg,
                          act_cfg=self.act_cfg)

    @property
    def feature_channels(self) -> dict[str, tuple[int, ...]]:
        fused = tuple(self.in_channels)
        return dict(visual=fused, fused=fused, decoded=(self.channels,) * len(self.blocks), logits=(self.out_channels,))

    def forward(self, features: RISFeatures) -> RISFeatures:
        """Decode the fused features of a record.

        Args:
            features: Record of a language-aware backbone, with ``fused`` F_i of shape (B, C_i, H_i, W_i).

        Returns:
            The record with ``decoded``, (B, channels, H_i, W_i) for each stage but the deepest, shallow to deep, and
            ``logits`` of shape (B, out_channels, H_1, W_1).

        Raises:
            ValueError: The record holds no fused features, or not those that ``in_channels`` describes.
        """
        widths = [fused.shape[1] for fused in features.fused]
        if not widths:
            raise ValueError('LAVTHead reads fused features, but the backbone gives visual features only: use a '
                             'language-aware backbone (LanguageAwareSwin), or TextConditionedHead, which fuses itself')
        if widths != self.in_channels:
            raise ValueError(f'LAVTHead was built with in_channels={self.in_channels}, but the fused features have '
                             f'{widths} channels; set decode_head.in_channels to that')
        *skips, output = [_normalize(norm, fused) for norm, fused in zip(self.norms, features.fused)]
        decoded = []
        for block, skip in zip(self.blocks, reversed(skips)):
            output = nn.functional.interpolate(
                output, size=skip.shape[2:], mode='bilinear', align_corners=self.align_corners)
            output = block(torch.cat([output, skip], dim=1))
            decoded.insert(0, output)
        return replace(features, decoded=tuple(decoded), logits=self.cls_seg(output))


def _normalize(norm: nn.LayerNorm, features: Tensor) -> Tensor:
    return norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # the norm is over C: B x C x H x W -> B x H x W x C
