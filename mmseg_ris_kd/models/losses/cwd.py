"""CWD: every channel as a distribution over space."""
from __future__ import annotations

from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import Tensor

from .bernoulli import foreground_logit
from .distillation_loss import FeatureLoss, check_positive, kl_divergence


@MODELS.register_module()
class CWDLoss(FeatureLoss):
    r"""Distil where each channel responds: channel-wise distillation [0].

    .. math::
        \frac{\tau^2}{N C} \sum_{n,c} \mathrm{KL}(
            \mathrm{softmax}_p(x^T_{n,c} / \tau) \,\|\, \mathrm{softmax}_p(x^S_{n,c} / \tau))

    The softmax runs over the positions. On logits, a model with one channel and one with two meet in the log-odds of
    the foreground. Usual weights are 3 with tau 4 on logits and 50 with tau 1 on features.

    - [0]: Channel-wise Knowledge Distillation for Dense Prediction, ICCV 2021, https://arxiv.org/abs/2011.13256

    Args:
        tau: Temperature.
        feature: Which field of the record: ``'logits'`` (stages ``(0,)``) or a feature.
        stages: Positions in the record's tuple, 0 being the shallowest.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``tau`` is not positive.
    """

    term = 'cwd'
    choices = (*FeatureLoss.choices, 'logits')

    def __init__(self, *, tau: float = 1., feature: str = 'fused', stages: Sequence[int] = (0, 1, 2, 3),
                 loss_weight: float = 1., schedule: dict | None = None):
        super().__init__(feature=feature, stages=stages, loss_weight=loss_weight, schedule=schedule)
        check_positive(self, tau=tau)
        self.tau = tau
        self.adapts = feature != 'logits'  # a trained map between logits and loss would distil no mask

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape[1] != teacher.shape[1]:
            student, teacher = foreground_logit(student), foreground_logit(teacher)
        maps = (feature.flatten(2).div(self.tau).log_softmax(dim=-1) for feature in (student, teacher))
        return self.tau**2 * kl_divergence(*maps).mean()
