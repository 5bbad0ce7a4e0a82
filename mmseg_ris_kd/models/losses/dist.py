"""DIST: the student ranks as the teacher ranks."""
from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor

from .bernoulli import foreground_logit
from .distillation_loss import FeatureLoss, check_positive


@MODELS.register_module()
class DISTLoss(FeatureLoss):
    r"""Distil correlations of probabilities instead of the probabilities: DIST [0].

    With p = softmax(z / tau) as a table of N P pixels by C classes and Pearson's correlation rho:

    .. math::
        \tau^2 \left( \beta \cdot \underset{\text{rows}}{\mathrm{mean}} (1 - \rho(p^T, p^S))
        + \gamma \cdot \underset{\text{columns}}{\mathrm{mean}} (1 - \rho(p^T, p^S)) \right)

    The rows are the inter-class relation, the columns the intra-class relation. **A binary mask has a degenerate
    inter-class relation**: two classes give rows (1 - p, p), whose correlation is +1 or -1 and has no gradient, and a
    softmax over one channel is constant. For one or two logit channels the Bernoulli form is used: p is the probability
    of the foreground (sigmoid of the log-odds over tau), there is one column, and the inter-class term is left out.

    - [0]: Knowledge Distillation from A Stronger Teacher, NeurIPS 2022, https://arxiv.org/abs/2205.10536

    Args:
        tau: Temperature.
        beta: Weight of the inter-class relation, for logits of three channels or more.
        gamma: Weight of the intra-class relation.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``tau`` is not positive.
    """

    term = 'dist'
    choices = ('logits', )

    def __init__(self, *, tau: float = 1., beta: float = 1., gamma: float = 1., loss_weight: float = 1.,
                 schedule: dict | None = None):
        super().__init__(feature='logits', stages=(0,), loss_weight=loss_weight, schedule=schedule)
        check_positive(self, tau=tau)
        self.tau = tau
        self.beta = beta
        self.gamma = gamma

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape[1] <= 2:
            tables = (_table(foreground_logit(logits).div(self.tau).sigmoid()) for logits in (student, teacher))
            return self.tau**2 * self.gamma * intra_class_distance(*tables)
        student, teacher = (_table(logits.div(self.tau).softmax(dim=1)) for logits in (student, teacher))
        return self.tau**2 * (self.beta * inter_class_distance(student, teacher)
                              + self.gamma * intra_class_distance(student, teacher))


def inter_class_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the rows of 1 - Pearson's correlation, for two tables (N P, C)."""
    return 1 - _pearson(student, teacher).mean()


def intra_class_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the columns of 1 - Pearson's correlation, for two tables (N P, C)."""
    return 1 - _pearson(student.T, teacher.T).mean()


def _table(probabilities: Tensor) -> Tensor:
    return probabilities.movedim(1, -1).flatten(0, -2)  # N x C x H x W -> NHW x C


def _pearson(a: Tensor, b: Tensor, eps: float = 1e-8) -> Tensor:
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1) + eps)
