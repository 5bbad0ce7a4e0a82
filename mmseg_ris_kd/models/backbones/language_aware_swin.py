"""Swin Transformer whose stages read the expression: the early fusion of LAVT."""
from __future__ import annotations

from collections.abc import Sequence

import torch.utils.checkpoint
from mmseg.models.backbones.swin import SwinTransformer
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import RISFeatures, TextFeatures
from ..fusion import PixelWordAttention
from ..pretrained import explain_missing_weights, require_pretrained_weights


@MODELS.register_module()
class LanguageAwareSwin(SwinTransformer):
    """Swin Transformer with pixel-word attention after every stage, the visual encoder of LAVT [0].

    Stage i gives the visual features V_i; the pixel-word attention gives F_i; the language gate
    ``V_i + tanh(W2 relu(W1 F_i)) * F_i`` is what patch merging and the next stage read. The record holds V_i and F_i as
    they are: this backbone has no output norms, ``LAVTHead`` normalizes F_i before it decodes.

    The last stage's gate leads nowhere. It exists because published LAVT weights hold it, and it is frozen so that
    neither the optimizer nor distributed training waits for its gradient.

    - [0]: LAVT: Language-Aware Vision Transformer for Referring Image Segmentation, CVPR 2022,
      https://arxiv.org/abs/2112.02244

    Args:
        text_channels: Channels D of the text encoder's token features.
        fusion_heads: Heads of the pixel-word attention, one number per stage.
        fusion_dropout: Dropout probability of the pixel-word attention.
        pretrain_img_size: Image size of the pretraining in pixels, used with absolute position embedding only.
        in_channels: Channels of the image.
        embed_dims: Channels C_1 of the first stage; they double with every stage.
        patch_size: Patch size, which is the stride of the first stage.
        window_size: Attention window, in tokens. Position biases of another window size are interpolated.
        mlp_ratio: Hidden channels of a block's MLP relative to its channels.
        depths: Blocks of each stage.
        num_heads: Self-attention heads of each stage.
        strides: Stride of the patch embedding and of each patch merging.
        qkv_bias: Whether query, key and value have a bias.
        qk_scale: Scale of the self-attention scores. None: channels of a head ** -0.5.
        patch_norm: Whether patch embedding and patch merging normalize.
        drop_rate: Dropout probability of tokens.
        attn_drop_rate: Dropout probability of self-attention weights.
        drop_path_rate: Stochastic depth of the last block; earlier ones have less.
        use_abs_pos_embed: Whether to add an absolute position embedding.
        with_cp: Recompute the blocks in the backward pass, which saves memory and costs time.
        frozen_stages: Stages up to this number (0: the patch embedding) are frozen; fusion and gates stay trainable.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with the weights of a Swin Transformer in
            MMSegmentation's layout, or None to train from scratch.

    Raises:
        ValueError: The per-stage arguments differ in length.
    """

    language_aware = True  # tells the segmentor to hand the text to this backbone: early fusion
    not_pretrained = ('fusions.', 'gates.')  # weights that no checkpoint of a Swin Transformer holds

    def __init__(self,
                 text_channels: int,
                 fusion_heads: Sequence[int] = (1, 1, 1, 1),
                 *,
                 fusion_dropout: float = 0.,
                 pretrain_img_size: int = 224,
                 in_channels: int = 3,
                 embed_dims: int = 96,
                 patch_size: int = 4,
                 window_size: int = 7,
                 mlp_ratio: float = 4,
                 depths: Sequence[int] = (2, 2, 6, 2),
                 num_heads: Sequence[int] = (3, 6, 12, 24),
                 strides: Sequence[int] = (4, 2, 2, 2),
                 qkv_bias: bool = True,
                 qk_scale: float | None = None,
                 patch_norm: bool = True,
                 drop_rate: float = 0.,
                 attn_drop_rate: float = 0.,
                 drop_path_rate: float = 0.1,
                 use_abs_pos_embed: bool = False,
                 with_cp: bool = False,
                 frozen_stages: int = -1,
                 init_cfg: dict | None = None):
        per_stage = dict(depths=depths, num_heads=num_heads, strides=strides, fusion_heads=fusion_heads)
        if len({len(values) for values in per_stage.values()}) > 1:
            raise ValueError('LanguageAwareSwin needs one number per stage in each of depths, num_heads, strides and '
                             f'fusion_heads, but got {per_stage}')
        super().__init__(
            pretrain_img_size=pretrain_img_size,
            in_channels=in_channels,
            embed_dims=embed_dims,
            patch_size=patch_size,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            depths=depths,
            num_heads=num_heads,
            strides=strides,
            out_indices=(),  # no output norms, they belong to the head
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            patch_norm=patch_norm,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
            use_abs_pos_embed=use_abs_pos_embed,
            with_cp=False,  # mmseg's call does not say use_reentrant, which torch asks for; ours below does
            frozen_stages=frozen_stages,
            init_cfg=init_cfg)
        self.with_cp = with_cp
        self.fusions = nn.ModuleList(
            PixelWordAttention(channels, text_channels, num_heads=heads, dropout=fusion_dropout)
            for channels, heads in zip(self.num_features, fusion_heads))
        # convolutions, not nn.Linear: mmseg's initialization from scratch gives every nn.Linear a standard deviation
        # of 0.02, which would all but close the gates of a small model
        self.gates = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 1, bias=False), nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels, 1, bias=False), nn.Tanh()) for channels in self.num_features)
        self.gates[-1].requires_grad_(False)

    def train(self, mode: bool = True) -> LanguageAwareSwin:
        """Set the mode, keep frozen stages in evaluation, and return the module (mmseg's version returns None)."""
        super().train(mode)
        return self

    def init_weights(self) -> None:
        """Load the pretrained weights of ``init_cfg``, or initialize from scratch.

        Raises:
            FileNotFoundError: The checkpoint cannot be found, downloaded or read; the message says how to go on.
            ValueError: The checkpoint does not hold the weights of this backbone.
        """
        if self.init_cfg is None:
            super().init_weights()
            return
        source = self.init_cfg.get('checkpoint')
        if self.init_cfg.get('type') != 'Pretrained' or not source:
            raise ValueError("LanguageAwareSwin takes init_cfg=dict(type='Pretrained', checkpoint=...) or None, but "
                             f'got {dict(self.init_cfg)}')
        with explain_missing_weights('backbone (LanguageAwareSwin)', source,
                                     option='model.backbone.init_cfg.checkpoint',
                                     scratch='model.backbone.init_cfg=None'), \
                require_pretrained_weights(self, 'model.backbone.init_cfg'):
            super().init_weights()

    def forward(self, inputs: Tensor, text: TextFeatures) -> RISFeatures:
        """Encode images together with one expression each.

        Args:
            inputs: Images with shape (B, 3, H, W).
            text: Features of B expressions.

        Returns:
            A record with ``visual``, ``text``, ``fused`` and ``attention``, one entry per stage.
        """
        tokens, size = self.patch_embed(inputs)
        if self.use_abs_pos_embed:
            tokens = tokens + self.absolute_pos_embed
        tokens = self.drop_after_pos(tokens)

        visual, fused, attention = [], [], []
        last = len(self.stages) - 1
        for i, (stage, fusion, gate) in enumerate(zip(self.stages, self.fusions, self.gates)):
            for block in stage.blocks:
                tokens = self._run_block(block, tokens, size)
            stage_visual = tokens.transpose(1, 2).unflatten(2, size).contiguous()  # B x HW x C -> B x C x H x W
            stage_fused, stage_attention = fusion(stage_visual, text)
            visual.append(stage_visual)
            fused.append(stage_fused)
            attention.append(stage_attention)
            if i < last:
                gated = stage_visual + gate(stage_fused) * stage_fused
                tokens, size = stage.downsample(gated.flatten(2).transpose(1, 2), size)
        return RISFeatures(visual=tuple(visual), text=text, fused=tuple(fused), attention=tuple(attention))

    def _run_block(self, block: nn.Module, tokens: Tensor, size: tuple) -> Tensor:
        if self.with_cp and tokens.requires_grad:
            return torch.utils.checkpoint.checkpoint(block, tokens, size, use_reentrant=False)
        return block(tokens, size)
