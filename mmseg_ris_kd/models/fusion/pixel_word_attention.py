"""Cross-modal attention from every pixel to the words of its expression."""
from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import TextFeatures
from ..precision import at_least_float32

MASK_CONSTANT = 1e4  # subtracted from the scores of padding tokens; finite, so a row without words stays finite too


@MODELS.register_module()
class PixelWordAttention(nn.Module):
    r"""Pixel-word attention module (PWAM) of LAVT [0].

    For visual features x (B, C, P = H * W) and token features E (B, L, D) with mask m:

    .. math::
        vis &= Dropout(GELU(Conv(x))) \\
        Q &= InstanceNorm(Conv(x)), \quad K = Conv(E) \cdot m, \quad U = Conv(E) \cdot m \\
        A &= softmax_{words}(Q K^T / \sqrt{C_k} + 10^4 m - 10^4) \\
        F &= Dropout(GELU(Conv(vis \cdot InstanceNorm(Conv(A U)))))

    All convolutions are 1x1. The scale uses all key channels C_k, also with several heads. The instance norms have
    neither weights nor running statistics; on a map of a single pixel they give zeros, as their formula says.
    Softmax and instance norm are computed in at least float32, whatever the autocast state.

    - [0]: LAVT: Language-Aware Vision Transformer for Referring Image Segmentation, CVPR 2022,
      https://arxiv.org/abs/2112.02244

    Args:
        in_channels: Channels C of the visual features.
        text_channels: Channels D of the token features.
        out_channels: Channels of the fused features, also of ``vis`` and of the second instance norm.
            None: ``in_channels``. Fewer make a light module.
        key_channels: Channels C_k of queries and keys, over all heads. None: ``out_channels``.
        value_channels: Channels of the values U, over all heads. None: ``out_channels``.
        num_heads: Attention heads; must divide key and value channels.
        dropout: Probability of both dropouts, in [0, 1).

    Raises:
        ValueError: A size is not positive, ``num_heads`` does not divide the channels, or ``dropout`` is out of range.
    """

    def __init__(self,
                 in_channels: int,
                 text_channels: int,
                 *,
                 out_channels: int | None = None,
                 key_channels: int | None = None,
                 value_channels: int | None = None,
                 num_heads: int = 1,
                 dropout: float = 0.0):
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        key_channels = out_channels if key_channels is None else key_channels
        value_channels = out_channels if value_channels is None else value_channels
        sizes = dict(in_channels=in_channels, text_channels=text_channels, out_channels=out_channels,
                     key_channels=key_channels, value_channels=value_channels, num_heads=num_heads)
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f'PixelWordAttention: {name} must be at least 1, but got {size}')
        for name in ('key_channels', 'value_channels'):
            if sizes[name] % num_heads:
                raise ValueError(f'PixelWordAttention: num_heads={num_heads} does not divide {name}={sizes[name]}; '
                                 f'choose a divisor of it')
        if not 0 <= dropout < 1:
            raise ValueError(f'PixelWordAttention: dropout must lie in [0, 1), but got {dropout}')
        self.in_channels = in_channels
        self.text_channels = text_channels
        self.out_channels = out_channels
        self.num_heads = num_heads
        self.scale = key_channels**-0.5

        self.visual_projection = nn.Conv2d(in_channels, out_channels, 1)
        self.query_projection = nn.Conv2d(in_channels, key_channels, 1)
        self.key_projection = nn.Conv1d(text_channels, key_channels, 1)
        self.value_projection = nn.Conv1d(text_channels, value_channels, 1)
        self.language_projection = nn.Conv2d(value_channels, out_channels, 1)
        self.output_projection = nn.Conv2d(out_channels, out_channels, 1)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, visual: Tensor, text: TextFeatures) -> tuple[Tensor, Tensor]:
        """Fuse visual features with the words of one expression per image.

        Args:
            visual: Visual features V_i with shape (B, C, H, W), or (1, C, H, W) where all expressions speak of the
                same image; what depends on the image alone is then computed once.
            text: Features of B expressions.

        Returns:
            The fused features F_i with shape (B, out_channels, H, W), and the pixel-word attention A_i with shape
            (B, heads, H * W, L), at least float32: a softmax over the words, zero on padding tokens.

        Raises:
            ValueError: The channels or the batch size do not fit this module.
        """
        self._check_inputs(visual, text)
        projected = self.dropout(self.activation(self.visual_projection(visual)))

        query = instance_norm(self.query_projection(visual))
        tokens = text.tokens.transpose(1, 2)  # B x L x D -> B x D x L
        mask = text.mask[:, None].to(tokens.dtype)  # B x 1 x L
        key = self._split_heads(self.key_projection(tokens) * mask)
        value = self._split_heads(self.value_projection(tokens) * mask)
        # B x heads x c x HW, B x heads x c x L -> B x heads x HW x L
        scores = self._split_heads(query.flatten(2)).transpose(2, 3) @ key
        scores = at_least_float32(scores) * self.scale
        padding = ~text.mask.bool()[:, None, None]  # B x 1 x 1 x L
        attention = (scores - MASK_CONSTANT * padding).softmax(dim=-1)

        # B x heads x HW x L, B x heads x c x L -> B x heads x c x HW -> B x C' x H x W
        language = value @ attention.to(value.dtype).transpose(2, 3)
        language = language.flatten(1, 2).unflatten(-1, visual.shape[2:])
        language = instance_norm(self.language_projection(language))
        fused = self.dropout(self.activation(self.output_projection(projected * language)))
        return fused, attention

    def _split_heads(self, features: Tensor) -> Tensor:
        """B x C x N -> B x heads x C / heads x N."""
        return features.unflatten(1, (self.num_heads, -1))

    def _check_inputs(self, visual: Tensor, text: TextFeatures) -> None:
        if visual.shape[1] != self.in_channels:
            raise ValueError(f'PixelWordAttention was built with in_channels={self.in_channels}, but the visual '
                             f'features have shape {tuple(visual.shape)}; set in_channels to the backbone\'s channels')
        if text.tokens.shape[-1] != self.text_channels:
            raise ValueError(f'PixelWordAttention was built with text_channels={self.text_channels}, but the text '
                             f'encoder gives {text.tokens.shape[-1]} channels; set text_channels to that')
        if visual.shape[0] not in (1, text.tokens.shape[0]):
            raise ValueError(f'{visual.shape[0]} images, but {text.tokens.shape[0]} expressions: pixel-word attention '
                             'needs one expression per image, or one image that all expressions speak of')


def instance_norm(features: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalize every channel of every sample over space: ``(x - mean) / sqrt(var + eps)``.

    Computed in at least float32; a single pixel gives zero, with zero gradient. A layer norm over space and not
    ``torch.nn.functional.instance_norm``, whose gradient is wrong on CPU for a batch whose incoming gradient has the
    channels-last layout (torch 2.14.1), as those of 1x1 convolutions often have.

    Args:
        features: Tensor with shape (B, C, H, W).
        eps: Added to the biased variance.

    Returns:
        Tensor with the shape and dtype of ``features``.
    """
    values = at_least_float32(features).flatten(2)  # B x C x HW
    normalized = nn.functional.layer_norm(values, values.shape[2:], eps=eps)
    return normalized.unflatten(2, features.shape[2:]).to(features.dtype)
