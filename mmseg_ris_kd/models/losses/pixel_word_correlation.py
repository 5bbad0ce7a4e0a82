"""Cross-modal correlation: which words each pixel attends to, and how words go together over the pixels."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...structures import RISFeatures
from .distillation_loss import DistillationLoss, check_positive, check_stages, kl_divergence, same_grid, select_stage
from .words import EPS, align_words, masked_log_softmax, unit_columns


@MODELS.register_module()
class PixelWordCorrelationLoss(DistillationLoss):
    r"""Let the student's pixels correlate with the words as the teacher's do: the first term of CMKD.

    The paper [0] transfers "high-order fine-grained correlations between vision and language"; the form is ours. With
    the pixel-word attention A of a stage, heads averaged, P pixels and L real tokens:

    first order, which words a pixel attends to:

    .. math::
        \frac{1}{P} \sum_p \mathrm{KL}\left(
            \mathrm{softmax}_l(\log A^T_p / \tau) \,\|\, \mathrm{softmax}_l(\log A^S_p / \tau)\right)

    high order, which words go together over the pixels, where the columns of a are those of A with unit norm:

    .. math::
        R = a^\top a \in \mathbb{R}^{L \times L}, \qquad \frac{1}{L^2} \|R^S - R^T\|_F^2

    Both are means over the images and over the stages. The student's maps are resized to the teacher's grid. Where the
    tokenizers differ, attention is summed into whole words before.

    - [0]: Channel Attention-Guided Cross-Modal Knowledge Distillation for Referring Image Segmentation,
      https://arxiv.org/abs/2604.16806

    Args:
        stages: Positions in the records' ``attention``, 0 being the shallowest.
        first_order: Weight of the first-order term; 0 leaves it out.
        high_order: Weight of the high-order term; 0 leaves it out.
        tau: Temperature of the first-order term.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``tau`` is not positive, a weight is negative, or both terms are left out.
    """

    def __init__(self,
                 *,
                 stages: Sequence[int] = (0, 1, 2, 3),
                 first_order: float = 1.,
                 high_order: float = 1.,
                 tau: float = 1.,
                 loss_weight: float = 1.,
                 schedule: dict | None = None):
        super().__init__(loss_weight=loss_weight, schedule=schedule)
        check_positive(self, tau=tau)
        if min(first_order, high_order) < 0 or first_order == high_order == 0:
            raise ValueError('PixelWordCorrelationLoss: first_order and high_order are weights, one of them positive, '
                             f'but got {first_order} and {high_order}')
        self.stages = check_stages(stages, self)
        self.first_order = first_order
        self.high_order = high_order
        self.tau = tau

    def terms(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        first, high = [], []
        for stage in self.stages:
            ours, theirs, mask = aligned_attention(student, teacher, stage, self)
            if self.first_order:
                first.append(first_order_distance(ours, theirs, mask, self.tau))
            if self.high_order:
                high.append(high_order_distance(ours, theirs, mask))
        terms = dict(word_first=(self.first_order, first), word_high=(self.high_order, high))
        return {name: weight * torch.stack(losses).mean() for name, (weight, losses) in terms.items() if losses}


def aligned_attention(student: RISFeatures, teacher: RISFeatures, stage: int,
                      loss: DistillationLoss) -> tuple[Tensor, Tensor, Tensor]:
    """Return both attentions of a stage, (B, P, L) on the teacher's grid and over the same words, and the words' mask.

    Args:
        student: What the student computed.
        teacher: What the teacher computed.
        stage: Position in ``attention``.
        loss: Who asks, for errors.

    Raises:
        ValueError: A model hands out no attention of this stage.
    """
    maps = []
    for record, owner in ((student, 'student'), (teacher, 'teacher')):
        attention = select_stage(record, 'attention', stage, owner=owner, loss=loss).mean(dim=1)  # B x P x L
        maps.append(attention.transpose(1, 2).unflatten(2, record.fused[stage].shape[2:]))  # B x L x H x W
    ours, theirs = (attention.flatten(2).transpose(1, 2) for attention in same_grid(*maps))
    return align_words(ours, student.text, theirs, teacher.text)


def first_order_distance(student: Tensor, teacher: Tensor, mask: Tensor, tau: float = 1.) -> Tensor:
    """Mean KL divergence between the word distributions of the pixels.

    Args:
        student: Attention with shape (B, P, L).
        teacher: The same of the teacher.
        mask: Boolean tensor with shape (B, L), the words to compare. An expression without any counts as zero.
        tau: Temperature.

    Returns:
        A scalar.
    """
    return kl_divergence(*(
        masked_log_softmax(attention.clamp_min(EPS).log() / tau, mask) for attention in (student, teacher))).mean()


def high_order_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference between the word-word correlations R over the pairs of real words.

    Args:
        student: Attention with shape (B, P, L).
        teacher: The same of the teacher.
        mask: Boolean tensor with shape (B, L), the words to compare.

    Returns:
        A scalar.
    """
    pairs = (mask[:, :, None] & mask[:, None]).to(student.dtype)  # B x L x L
    squares = (_word_correlation(student) - _word_correlation(teacher)).square() * pairs
    return (squares.sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp_min(1)).mean()


def _word_correlation(attention: Tensor) -> Tensor:
    columns = unit_columns(attention)
    return columns.transpose(1, 2) @ columns  # B x L x L
