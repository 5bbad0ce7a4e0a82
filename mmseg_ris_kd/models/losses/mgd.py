"""MGD: regenerate the teacher's feature from a half of the student's."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import RISFeatures
from .distillation_loss import Channels, FeatureLoss, require_connected


@MODELS.register_module()
class MGDLoss(FeatureLoss):
    r"""Distil by regenerating masked features: masked generative distillation [0].

    .. math::
        \frac{1}{N} \| G(M \odot \mathrm{adapt}(x^S)) - x^T \|_2^2, \qquad
        G = \mathrm{conv}_{3 \times 3} \circ \mathrm{ReLU} \circ \mathrm{conv}_{3 \times 3}

    M keeps every position with probability 1 - mask_ratio, the same for all channels. G exists in training only. The
    usual weight is 2e-5.

    - [0]: Masked Generative Distillation, ECCV 2022, https://arxiv.org/abs/2205.01529

    Args:
        mask_ratio: Share of the positions that are masked.
        feature: Which field of the record: ``'visual'``, ``'fused'`` or ``'decoded'``.
        stages: Positions in the record's tuple, 0 being the shallowest.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``mask_ratio`` is no share.
    """

    term = 'mgd'
    adapts = True

    def __init__(self, *, mask_ratio: float = 0.5, feature: str = 'fused', stages: Sequence[int] = (0, 1, 2, 3),
                 loss_weight: float = 1., schedule: dict | None = None):
        super().__init__(feature=feature, stages=stages, loss_weight=loss_weight, schedule=schedule)
        if not 0 <= mask_ratio < 1:
            raise ValueError(f'MGDLoss: mask_ratio is a share in [0, 1), but got {mask_ratio}')
        self.mask_ratio = mask_ratio
        self.generators = nn.ModuleList()

    def connect(self, student: Channels, teacher: Channels) -> None:
        super().connect(student, teacher)
        for stage in self.stages:
            width = teacher[self.feature][stage]
            self.generators.append(nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1)))

    def terms(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        require_connected(self)
        losses = [
            self.compare(generator(self._mask(ours)), theirs)
            for generator, (ours, theirs) in zip(self.generators, self.pairs(student, teacher))
        ]
        return {self.term: torch.stack(losses).mean()}

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student - teacher).square().sum() / len(teacher)

    def _mask(self, feature: Tensor) -> Tensor:
        return feature * (torch.rand_like(feature[:, :1]) >= self.mask_ratio)
