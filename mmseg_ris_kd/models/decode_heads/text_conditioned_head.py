"""The head that brings language into the features of a plain backbone: late fusion, one image, many expressions."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import nn

from ...structures import RISFeatures
from .referring_head import ReferringHead


@MODELS.register_module()
class TextConditionedHead(ReferringHead):
    r"""Fuse every level of a pyramid with the words of an expression, then decode top-down. [our design]

    The fusion is the teacher's (the pixel-word attention of LAVT [0] by default), but it reads plain visual features,
    and all its outputs have ``channels`` channels, so that the head stays light:

    .. math:: F_i, A_i = \mathrm{fusion}_i(V_i, E), \quad y_4 = \mathrm{conv}_4(F_4), \quad
              y_i = \mathrm{conv}_i(F_i + \mathrm{upsample}(y_{i+1})), \quad Z = \mathrm{conv_{seg}}(y_1)

    with a 3x3 convolution, normalization and activation in :math:`\mathrm{conv}_i`. Everything that costs much in a
    fusion depends on the image alone: visual features of one image serve any number of expressions.

    [0] LAVT, CVPR 2022, https://arxiv.org/abs/2112.02244

    Args:
        in_channels: Channels C_i of the visual features, shallow to deep.
        channels: Channels of the fused and of the decoded features.
        text_channels: Channels D of the token features.
        fusion: Config of the fusion modules, without their channels.
        out_channels: Logit channels: 2 (background and foreground, argmax) or 1 (foreground, sigmoid and threshold).
        threshold: Foreground probability above which a pixel belongs to the mask; used with one logit channel.
        dropout_ratio: Probability of dropping a channel before the final convolution.
        norm_cfg: Config of the normalization layers.
        act_cfg: Config of the activation layers.
        loss_decode: Config of the mask loss, or a list of them.
        align_corners: How features and logits are resized, see ``torch.nn.functional.interpolate``.
        init_cfg: Initialization of the weights.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int,
                 *,
                 text_channels: int,
                 fusion: dict = dict(type='PixelWordAttention'),  # noqa: B006  configs are never mutated
                 out_channels: int = 2,
                 threshold: float = 0.5,
                 dropout_ratio: float = 0.,
                 norm_cfg: dict | None = dict(type='BN'),  # noqa: B006
                 act_cfg: dict | None = dict(type='ReLU'),  # noqa: B006
                 loss_decode: dict | Sequence[dict] = dict(type='CrossEntropyLoss'),  # noqa: B006
                 align_corners: bool = False,
                 init_cfg: dict | list[dict] | None = None):
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
        self.fusions = nn.ModuleList(
            MODELS.build(dict(fusion, in_channels=c, text_channels=text_channels, out_channels=channels))
            for c in in_channels)
        self.convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg) for _ in in_channels)

    def forward(self, features: RISFeatures) -> RISFeatures:
        """Fuse and decode.

        Args:
            features: Record with ``visual`` features of B images, or of one image for all B expressions.

        Returns:
            The record with ``fused`` and ``decoded`` (B, channels, H_i, W_i), ``attention`` (B, heads, H_i * W_i, L)
            and ``logits`` (B, 1 or 2, H_1, W_1).

        Raises:
            ValueError: The backbone's channels are not ``in_channels``.
        """
        channels = [feature.shape[1] for feature in features.visual]
        if channels != self.in_channels:
            raise ValueError(f'decode_head.in_channels is {self.in_channels}, but the backbone gives features with '
                             f'{channels} channels: set in_channels to these (or the backbone\'s out_indices)')
        pairs = [fusion(visual, features.text) for fusion, visual in zip(self.fusions, features.visual)]
        fused, attention = zip(*pairs)
        decoded = []
        for i in reversed(range(len(fused))):
            top_down = fused[i]
            if decoded:
                top_down = top_down + F.interpolate(
                    decoded[0], size=fused[i].shape[-2:], mode='bilinear', align_corners=self.align_corners)
            decoded.insert(0, self.convs[i](top_down))
        return replace(
            features, fused=fused, attention=attention, decoded=tuple(decoded), logits=self.cls_seg(decoded[0]))
