"""Channel-word relation: which words each channel answers to."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...structures import RISFeatures
from .adapters import ChannelAdapters
from .distillation_loss import (
    Channels,
    DistillationLoss,
    check_positive,
    check_stages,
    kl_divergence,
    require_connected,
    same_grid,
    select_stage,
    unit_norm,
)
from .pixel_word_correlation import aligned_attention
from .words import masked_log_softmax, unit_columns


@MODELS.register_module()
class ChannelWordRelationLoss(DistillationLoss):
    r"""Let the student's channels answer to the words that the teacher's answer to. [our reading of CMKD]

    With the rows of X (C x P, a feature's channels) and the columns of a (P x L, the pixel-word attention of the same
    stage) of unit norm (all but dead channels, see ``unit_norm``):

    .. math::
        R = \mathrm{softmax}_l(X a / \tau) \in \mathbb{R}^{C \times L}, \qquad
        \frac{1}{C} \sum_c \mathrm{KL}(R^T_c \,\|\, R^S_c)

    averaged over images and stages: both cross-modal and by channel. X are the channels of the fused feature.

    Args:
        stages: Positions in the record's tuples, 0 being the shallowest.
        tau: Temperature of the relation.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``tau`` is not positive.
    """

    def __init__(self,
                 *,
                 stages: Sequence[int] = (0, 1, 2, 3),
                 tau: float = 0.1,
                 loss_weight: float = 1.,
                 schedule: dict | None = None):
        super().__init__(loss_weight=loss_weight, schedule=schedule)
        check_positive(self, tau=tau)
        self.stages = check_stages(stages, self)
        self.adapters: ChannelAdapters | None = None
        self.tau = tau

    def connect(self, student: Channels, teacher: Channels) -> None:
        self.adapters = ChannelAdapters(self.stages, student['fused'], teacher['fused'])

    def terms(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        require_connected(self)
        losses = []
        for stage in self.stages:
            theirs = select_stage(teacher, 'fused', stage, owner='teacher', loss=self)
            ours = select_stage(student, 'fused', stage, owner='student', loss=self)
            ours = self.adapters(ours, theirs, stage)
            *attention, mask = aligned_attention(student, teacher, stage, self)
            relations = [self._relation(*pair, mask) for pair in zip(same_grid(ours, theirs), attention)]
            losses.append(kl_divergence(*relations).mean())
        return {'channel_word': torch.stack(losses).mean()}

    def _relation(self, feature: Tensor, attention: Tensor, mask: Tensor) -> Tensor:
        """Log of R, (B, C, L), zero at the words that are not compared."""
        channels = unit_norm(feature.flatten(2), dim=2)  # B x C x P
        return masked_log_softmax(channels @ unit_columns(attention) / self.tau, mask)
