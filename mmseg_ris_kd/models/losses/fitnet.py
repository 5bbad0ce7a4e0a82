"""FitNet: copy the teacher's feature."""
from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor

from .distillation_loss import FeatureLoss


@MODELS.register_module()
class FitNetLoss(FeatureLoss):
    r"""Distil features one by one: the hints of FitNets [0].

    .. math::
        \frac{1}{N C P} \| \mathrm{adapt}(x^S) - x^T \|_2^2

    - [0]: FitNets: Hints for Thin Deep Nets, ICLR 2015, https://arxiv.org/abs/1412.6550

    Args:
        feature: Which field of the record: ``'visual'``, ``'fused'`` or ``'decoded'``.
        stages: Positions in the record's tuple, 0 being the shallowest (stride 4).
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.
    """

    term = 'fitnet'
    adapts = True

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student - teacher).square().mean()
