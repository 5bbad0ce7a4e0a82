"""The head that brings language into the features of a plain backbone: late fusion, one image, many expressions."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer
from mmseg.registry import MODELS
from torch import nn

from ...structures import RISFeatures
from .referring_head import ReferringHead


@MODELS.register_module()
class TextConditionedHead(ReferringHead):
    r"""Fuse every level of a pyramid with the words of an expression, then decode top-down. [our design]

    The fusion is the teacher's (the pixel-word attention of LAVT [0] by default), but it reads plain visual features
    V_i and gives F_i with ``channels`` channels, so that the head stays light. The decoder also sees the visual
    features themselves, and the sentence feature s scales and shifts what it computes, as in FiLM [1]:

    .. math::
        F_i, A_i &= \mathrm{fusion}_i(V_i, E) \\
        x_i &= \mathrm{norm}(\mathrm{conv}_i(\mathrm{lateral}_i(V_i) + F_i + \mathrm{upsample}(y_{i+1}))) \\
        y_i &= \mathrm{act}((1 + \gamma_i(s)) \cdot x_i + \beta_i(s)), \quad Z = \mathrm{conv_{seg}}(y_1)

    with 3x3 convolutions, 1x1 laterals and linear :math:`\gamma_i, \beta_i`. What costs most in a fusion depends on the
    image alone: visual features of one image serve any number of expressions.

    - [0]: LAVT, CVPR 2022, https://arxiv.org/abs/2112.02244
    - [1]: FiLM: Visual Reasoning with a General Conditioning Layer, AAAI 2018, https://arxiv.org/abs/1709.07871

    Args:
        in_channels: Channels C_i of the visual features, shallow to deep.
        channels: Channels of the fused and of the decoded features.
        text_channels: Channels D of the token features and of the sentence feature.
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
        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None) for _ in in_channels)
        self.modulations = nn.ModuleList(nn.Linear(text_channels, 2 * channels) for _ in in_channels)
        self.activate = build_activation_layer(act_cfg)

    @property
    def feature_channels(self) -> dict[str, tuple[int, ...]]:
        fused = (self.channels,) * len(self.in_channels)
        return dict(visual=tuple(self.in_channels), fused=fused, decoded=fused, logits=(self.out_channels,))

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
            top_down = self.laterals[i](features.visual[i]) + fused[i]
            if decoded:
                top_down = top_down + F.interpolate(
                    decoded[0], size=fused[i].shape[-2:], mode='bilinear', align_corners=self.align_corners)
            scale, shift = self.modulations[i](features.text.sentence)[:, :, None, None].chunk(2, dim=1)
            decoded.insert(0, self.activate(self.convs[i](top_down) * (1 + scale) + shift))
        return replace(
            features, fused=fused, attention=attention, decoded=tuple(decoded), logits=self.cls_seg(decoded[0]))
