"""Pixel-word attention of two models brought to the same words."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...structures import TextFeatures


def align_words(student: Tensor, student_text: TextFeatures, teacher: Tensor,
                teacher_text: TextFeatures) -> tuple[Tensor, Tensor, Tensor]:
    """Bring two attentions to the same columns.

    An expression that both models cut into the same tokens is compared token by token, special tokens included. For any
    other, the attention of a word's tokens is summed, special tokens are left out, and so are words that either model
    cut off: what remains of a row need not sum to one. What happens to an expression does not depend on the others.

    Args:
        student: Attention of the student with shape (B, P, L_S).
        student_text: The student's text features.
        teacher: Attention of the teacher with shape (B, P, L_T).
        teacher_text: The teacher's text features.

    Returns:
        Student's and teacher's attention with shape (B, P, L), and a boolean tensor (B, L): which columns both have.
    """
    ids, other_ids = student_text.word_ids, teacher_text.word_ids
    mask, other_mask = student_text.mask.bool(), teacher_text.mask.bool()
    if ids.shape == other_ids.shape:
        same = ((ids == other_ids) & (mask == other_mask)).all(dim=1, keepdim=True)  # B x 1
        if same.all():
            return student, teacher, mask
        positions = torch.arange(ids.shape[1], device=ids.device)  # a token as a word of its own
        ids, other_ids = ids.where(~same, positions), other_ids.where(~same, positions)
    words = max(ids.shape[1], other_ids.shape[1])  # a word has at least one token
    student, present = sum_into_words(student, ids, mask, words)
    teacher, other_present = sum_into_words(teacher, other_ids, other_mask, words)
    return student, teacher, present & other_present


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
