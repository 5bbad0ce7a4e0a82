"""The two records that models pass on: ``TextFeatures`` and ``RISFeatures``."""
from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


class _Record:
    """What the two records share."""

    def detach(self):
        """Return the same record without gradients."""
        return type(self)(**{field.name: _detached(getattr(self, field.name)) for field in fields(self)})


def _detached(value):
    if isinstance(value, tuple):
        return tuple(_detached(part) for part in value)
    return value if value is None else value.detach()


@dataclass
class TextFeatures(_Record):
    """What a text encoder computed for B expressions of at most L tokens.

    Args:
        tokens: Token features E with shape (B, L, D). Rows of padding tokens carry no meaning.
        mask: Boolean tensor with shape (B, L), True where a token is real, special tokens included.
        word_ids: Integer tensor with shape (B, L): the index of the word in the expression that a token belongs to,
            -1 for special and padding tokens. Tokenizers that split words differently meet at this index.
        sentence: One feature per expression with shape (B, D).
    """
    tokens: Tensor
    mask: Tensor
    word_ids: Tensor
    sentence: Tensor


@dataclass
class RISFeatures(_Record):
    """Everything a referring segmentor computed in one forward pass.

    Tuples are ordered shallow to deep (strides 4, 8, 16, 32 for the usual backbones). A producer that has no such
    feature leaves the tuple empty: a plain backbone fills ``visual`` only, a decode head adds the rest.

    Args:
        visual: Visual features V_i with shape (B, C_i, H_i, W_i).
        text: Features of the expressions.
        fused: Language-aware features F_i with shape (B, C_i', H_i, W_i): the output of the pixel-word attention
            before any gate.
        attention: Pixel-word attention A_i with shape (B, heads, H_i * W_i, L), a softmax over the real words.
        decoded: Decoder features with shape (B, C, H_i, W_i).
        logits: Mask logits Z with shape (B, 1 or 2, H, W), at the resolution of the decoder or of the input.
        target: Target masks with shape (B, H, W) and values {0, 1}, 255 where ignored; filled in by a distiller.
    """
    visual: tuple[Tensor, ...]
    text: TextFeatures
    fused: tuple[Tensor, ...] = ()
    attention: tuple[Tensor, ...] = ()
    decoded: tuple[Tensor, ...] = ()
    logits: Tensor | None = None
    target: Tensor | None = None
