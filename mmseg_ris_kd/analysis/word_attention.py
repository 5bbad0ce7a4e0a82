"""Pixel-word attention as one map per word of the expression, whatever the tokenizer."""
from __future__ import annotations

import torch
from torch import Tensor

from ..expressions import normalize_expression, split_words
from ..models.losses.words import sum_into_words
from ..structures import RISFeatures


def words_of(expression: str) -> list[str]:
    """Return the words that the ``word_ids`` of every text encoder count.

    Examples:
        >>> words_of("the man's T-shirt")
        ['the', "man's", 'T', '-', 'shirt']
    """
    text = normalize_expression(expression)
    words: list[str] = []
    for character, word in zip(text, split_words(text)):
        if word == len(words):
            words.append('')
        if word >= 0:
            words[word] += character
    return words


def word_attention(record: RISFeatures, stage: int, words: int, *, owner: str) -> tuple[Tensor, Tensor]:
    """Sum the attention to the tokens of each word; heads are averaged.

    Args:
        record: What a model computed for B expressions.
        stage: Position in the record's ``attention``, 0 being the shallowest.
        words: Number of words W of the longest expression.
        owner: The model's name, for the error.

    Returns:
        Maps with shape (B, W + 1, H, W'), the last one that of the special tokens: at each pixel they sum to one. And a
        boolean tensor (B, W + 1): which of them the model read; words beyond its ``max_length`` are cut off.

    Raises:
        ValueError: The model hands out no attention of this stage.
    """
    if not 0 <= stage < len(record.attention):
        raise ValueError(f'there is no stage {stage}: the {owner} hands out pixel-word attention of '
                         f'{len(record.attention)} stages, counted from 0 (the shallowest)')
    attention = record.attention[stage].float().mean(dim=1)  # B x P x L
    ids, mask = record.text.word_ids, record.text.mask.bool()
    maps, read = sum_into_words(attention, ids, mask, words)
    special = mask & (ids < 0)  # B x L
    maps = torch.cat([maps, attention @ special[..., None].to(attention.dtype)], dim=2).transpose(1, 2)  # B x W+1 x P
    read = torch.cat([read, special.any(dim=1, keepdim=True)], dim=1)
    return maps.unflatten(2, record.fused[stage].shape[2:]), read
