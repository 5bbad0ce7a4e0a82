"""Pixel-word attention of two models brought to the same words."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...structures import TextFeatures

EPS = 1e-8  # below any attention that matters


def align_words(student: Tensor, student_text: TextFeatures, teacher: Tensor,
                teacher_text: TextFeatures) -> tuple[Tensor, Tensor, Tensor]:
    """Bring two attentions to the same columns.

    An expression of which both models cut every word into as many tokens is compared token by token, special tokens
    included. For any other, the attention of a word's tokens is summed, special tokens are left out, and so are words
    that either model cut off: what remains of a row need not sum to one. What happens to an expression depends neither
    on the others nor on its padding.

    Args:
        student: Attention of the student with shape (B, P, L_S).
        student_text: The student's text features.
        teacher: Attention of the teacher with shape (B, P, L_T).
        teacher_text: The teacher's text features.

    Returns:
        Student's and teacher's attention with shape (B, P, L), and a boolean tensor (B, L): which columns both have.
    """
    length = max(student.shape[2], teacher.shape[2])
    student, ids, mask = _padded(student, student_text, length)
    teacher, other_ids, other_mask = _padded(teacher, teacher_text, length)
    same = ((ids == other_ids) & (mask == other_mask)).all(dim=1, keepdim=True)  # B x 1
    if same.all():
        return student, teacher, mask
    positions = torch.arange(length, device=ids.device)  # a token as a word of its own
    ids, other_ids = ids.where(~same, positions), other_ids.where(~same, positions)
    student, present = sum_into_words(student, ids, mask, length)  # a word has at least one token
    teacher, other_present = sum_into_words(teacher, other_ids, other_mask, length)
    return student, teacher, present & other_present


def _padded(attention: Tensor, text: TextFeatures, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Attention, word indices and mask with padding up to ``length`` tokens."""
    missing = length - attention.shape[2]
    parts = (attention, 0.), (text.word_ids, -1), (text.mask.bool(), False)
    return tuple(F.pad(part, (0, missing), value=value) if missing else part for part, value in parts)


def masked_log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Log-softmax over the words of ``mask`` (B, L) of scores (B, K, L); zero at the other words."""
    padding = ~mask[:, None]
    return scores.masked_fill(padding, torch.finfo(scores.dtype).min).log_softmax(dim=-1).masked_fill(padding, 0.)


def unit_columns(attention: Tensor) -> Tensor:
    """Scale the columns of an attention (B, P, L), a word's over all pixels, to unit norm."""
    return F.normalize(attention, dim=1, eps=EPS)


def sum_into_words(attention: Tensor, word_ids: Tensor, mask: Tensor, words: int) -> tuple[Tensor, Tensor]:
    """Sum the attention to the tokens of each word; special and padding tokens are left out.

    Args:
        attention: Pixel-word attention with shape (B, P, L).
        word_ids: Index of each token's word with shape (B, L), -1 for special tokens.
        mask: Boolean tensor with shape (B, L), which tokens are real.
        words: Number of words W; tokens of later words are left out.

    Returns:
        Attention with shape (B, P, W), and a boolean tensor (B, W): which words have a token.
    """
    in_word = mask & (word_ids >= 0) & (word_ids < words)
    membership = F.one_hot(word_ids.clamp(0, words - 1), words) * in_word[..., None]  # B x L x words
    return attention @ membership.to(attention.dtype), membership.sum(dim=1) > 0
