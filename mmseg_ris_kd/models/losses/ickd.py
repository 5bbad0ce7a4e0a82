"""ICKD: how the channels correlate."""
from __future__ import annotations

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from .distillation_loss import FeatureLoss


@MODELS.register_module()
class ICKDLoss(FeatureLoss):
    r"""Distil the inter-channel correlation matrix: ICKD [0].

    .. math::
        G = x x^\top \in \mathbb{R}^{C \times C} \text{ (rows of unit norm)}, \qquad
        \frac{1}{N C} \sum_n \|G^S_n - G^T_n\|_F^2

    with x a feature as a C x P matrix. The usual weight is 2.5.

    - [0]: Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation, ICCV 2021,
      https://arxiv.org/abs/2202.03680

    Args:
        feature: Which field of the record: ``'visual'``, ``'fused'`` or ``'decoded'``.
        stages: Positions in the record's tuple, 0 being the shallowest (stride 4).
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.
    """

    term = 'ickd'
    adapts = True

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        images, channels = teacher.shape[:2]
        return (_correlation(student) - _correlation(teacher)).square().sum() / (images * channels)


def _correlation(feature: Tensor) -> Tensor:
    x = feature.flatten(2)  # N x C x P
    return F.normalize(x @ x.transpose(1, 2), dim=2)
