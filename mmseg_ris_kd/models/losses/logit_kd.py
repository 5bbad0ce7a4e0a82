"""Logit KD: the teacher's foreground probability at every pixel as a soft target."""
from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor

from .bernoulli import as_two_classes
from .distillation_loss import FeatureLoss, check_positive, kl_divergence


@MODELS.register_module()
class LogitKDLoss(FeatureLoss):
    r"""Distil the class distribution of every pixel, as Hinton et al. [0] do for images.

    .. math::
        \frac{\tau^2}{N P} \sum_{n,p} \mathrm{KL}(\sigma(z^T / \tau) \,\|\, \sigma(z^S / \tau))

    over N images and P pixels. One logit channel z counts as the two classes [0, z], which makes the softmax the
    sigmoid of z: a Bernoulli distribution; so one-channel and two-channel models can be distilled into each other.

    - [0]: Distilling the Knowledge in a Neural Network, 2015, https://arxiv.org/abs/1503.02531

    Args:
        tau: Temperature.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``tau`` is not positive.
    """

    term = 'logit_kd'
    choices = ('logits', )

    def __init__(self, *, tau: float = 1., loss_weight: float = 1., schedule: dict | None = None):
        super().__init__(feature='logits', stages=(0,), loss_weight=loss_weight, schedule=schedule)
        check_positive(self, tau=tau)
        self.tau = tau

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = (  # N x C x H x W -> N x H x W x C
            as_two_classes(logits).div(self.tau).log_softmax(dim=1).movedim(1, -1) for logits in (student, teacher))
        return self.tau**2 * kl_divergence(student, teacher).mean()
