"""AT: where a feature has its energy."""
from __future__ import annotations

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from .distillation_loss import FeatureLoss


@MODELS.register_module()
class AttentionTransferLoss(FeatureLoss):
    r"""Distil the spatial attention of a feature: attention transfer [0].

    .. math::
        q = \mathrm{vec}\Big(\frac{1}{C} \sum_c x_c^2\Big), \qquad
        \frac{1}{N P} \sum_{n,p} \left(\frac{q^S_{n,p}}{\|q^S_n\|} - \frac{q^T_{n,p}}{\|q^T_n\|}\right)^2

    The channels are averaged away, so none have to be adapted. The usual weight is 1e4.

    - [0]: Paying More Attention to Attention, ICLR 2017, https://arxiv.org/abs/1612.03928

    Args:
        feature: Which field of the record: ``'visual'``, ``'fused'`` or ``'decoded'``.
        stages: Positions in the record's tuple, 0 being the shallowest (stride 4).
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.
    """

    term = 'attention_transfer'

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (_energy(student) - _energy(teacher)).square().mean()


def _energy(feature: Tensor) -> Tensor:
    return F.normalize(feature.square().mean(dim=1).flatten(1), dim=1)  # N x P
