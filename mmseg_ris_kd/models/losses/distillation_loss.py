"""What every distillation loss shares: two records in, named and weighted scalars out."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...structures import RISFeatures
from ..precision import at_least_float32
from .adapters import ChannelAdapters
from .weight_schedule import WeightSchedule

Channels = Mapping[str, Sequence[int]]


class DistillationLoss(nn.Module, ABC):
    """Base of the losses that compare what a student and its teacher computed for the same images and expressions.

    A loss is called with two ``RISFeatures`` records and returns its terms by name, each multiplied by the loss's
    weight at this point of the training. It computes in at least float32, whatever the autocast state.

    Args:
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``, which warms the weight up or lets it decay; None: constant.

    Raises:
        ValueError: ``loss_weight`` is negative, or ``schedule`` is invalid.
    """

    def __init__(self, *, loss_weight: float = 1., schedule: dict | None = None):
        super().__init__()
        if loss_weight < 0:
            raise ValueError(f'{type(self).__name__}: loss_weight must not be negative, but got {loss_weight}')
        self.loss_weight = loss_weight
        self.schedule = WeightSchedule(**schedule) if schedule else None

    def forward(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        """Compare two records.

        Args:
            student: What the student computed, with gradients.
            teacher: What the teacher computed; it is detached, no gradient reaches it.

        Returns:
            Scalars by name, ``'loss_<term>'``.
        """
        weight = self.loss_weight * (self.schedule.factor() if self.schedule else 1.)
        teacher = teacher.detach()
        with torch.autocast(student.visual[0].device.type, enabled=False):
            return {f'loss_{name}': weight * value for name, value in self.terms(student, teacher).items()}

    @abstractmethod
    def terms(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        """Return the unweighted terms by name."""

    def connect(self, student: Channels, teacher: Channels) -> None:
        """Make what depends on the channels of the two models; called once, before training.

        Args:
            student: Channels of the student's features by field of the record, shallow to deep.
            teacher: The same of the teacher.
        """


class FeatureLoss(DistillationLoss):
    """Base of the losses that compare one feature of student and teacher stage by stage; mean over the stages.

    The student's feature is resized to the teacher's grid where they differ (bilinear). A subclass that compares
    channel by channel sets ``adapts``: then ``ChannelAdapters`` map the student's channels to the teacher's. ``term``
    is its name in logs, ``choices`` are the fields that it can compare.

    Args:
        feature: Which field of the record, one of ``choices``.
        stages: Positions in the record's tuple, 0 being the shallowest (stride 4); for logits ``(0,)``.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``feature`` is none of ``choices``, ``stages`` is empty or repeats itself.
    """

    term = 'feature'
    adapts = False
    choices = ('visual', 'fused', 'decoded')

    def __init__(self,
                 *,
                 feature: str = 'fused',
                 stages: Sequence[int] = (0, 1, 2, 3),
                 loss_weight: float = 1.,
                 schedule: dict | None = None):
        super().__init__(loss_weight=loss_weight, schedule=schedule)
        if feature not in self.choices:
            raise ValueError(f'{type(self).__name__}: feature must be one of {self.choices}, but got {feature!r}')
        self.feature = feature
        self.stages = check_stages(stages, self)
        self.adapters: ChannelAdapters | None = None

    def connect(self, student: Channels, teacher: Channels) -> None:
        if self.adapts:
            try:
                self.adapters = ChannelAdapters(self.stages, student[self.feature], teacher[self.feature])
            except ValueError as error:
                raise ValueError(f'{type(self).__name__} on {self.feature!r}: {error}') from None

    def terms(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        return {self.term: torch.stack([self.compare(*pair) for pair in self.pairs(student, teacher)]).mean()}

    def pairs(self, student: RISFeatures, teacher: RISFeatures) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the features of student and teacher of every stage, on the teacher's grid.

        They have shape (B, C_S, H, W) and (B, C_T, H, W); with adapters both have C_T channels.
        """
        if self.adapts:
            require_connected(self)
        for stage in self.stages:
            ours, theirs = (
                self.prepare(select_stage(record, self.feature, stage, owner=owner, loss=self))
                for record, owner in ((student, 'student'), (teacher, 'teacher')))
            if self.adapters is not None:
                ours = self.adapters(ours, theirs, stage)
            yield same_grid(ours, theirs)

    def prepare(self, feature: Tensor) -> Tensor:
        """Change a feature (B, C, H, W) of student or teacher before they meet, such as by pooling it."""
        return feature

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of one stage: a scalar from (B, C_S, H, W) and (B, C_T, H, W), both at least float32."""


def require_connected(loss: DistillationLoss) -> None:
    """Raise a ``RuntimeError`` if a loss with adapters is used before ``connect``."""
    if loss.adapters is None:
        raise RuntimeError(f'{type(loss).__name__} maps channels: call connect(student, teacher) before, as '
                           'ReferringDistiller does')


def check_stages(stages: Sequence[int], loss: nn.Module) -> tuple[int, ...]:
    """Return ``stages`` as a tuple; raise a ``ValueError`` if it is none, empty, negative or repeats itself."""
    stages = tuple(stages) if isinstance(stages, Sequence) else stages
    if not isinstance(stages, tuple) or not stages or len(set(stages)) < len(stages) or min(stages) < 0:
        raise ValueError(f'{type(loss).__name__}: stages must be different positions, counted from 0 (the shallowest), '
                         f'but got {stages}')
    return stages


def check_positive(loss: nn.Module, **values: float) -> None:
    """Raise a ``ValueError`` that names the argument of ``loss`` that is not positive."""
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f'{type(loss).__name__}: {name} must be positive, but got {value}')


def unit_norm(feature: Tensor, dim: int) -> Tensor:
    """Scale the vectors along ``dim`` of a (B, ., .) tensor to unit norm; all but dead ones, which stay small.

    A norm is taken as at least a hundredth of the root mean square of the norms of its sample, since the gradient of
    a vector that is nearly zero would be the whole gradient.
    """
    norm = feature.norm(dim=dim, keepdim=True)
    floor = 1e-2 * norm.detach().square().mean(dim=3 - dim, keepdim=True).sqrt()
    return feature / torch.maximum(norm, floor).clamp_min(1e-8)


def select_stage(record: RISFeatures, feature: str, stage: int, *, owner: str, loss: nn.Module) -> Tensor:
    """Return a feature of one stage in at least float32.

    Args:
        record: What a model computed.
        feature: Field of the record.
        stage: Position in the field's tuple.
        owner: ``'student'`` or ``'teacher'``, for the error.
        loss: Who asks, for the error.

    Raises:
        ValueError: The model hands out no such feature.
    """
    features = getattr(record, feature)
    if feature == 'logits':
        features = () if features is None else (features,)
    if stage >= len(features):
        filled = [name for name in ('visual', 'fused', 'attention', 'decoded') if getattr(record, name)]
        raise ValueError(f'{type(loss).__name__} asks for stage {stage} of {feature!r}, but the {owner} has '
                         f'{len(features)} stage(s) of it (it hands out {", ".join(filled)}): choose other stages or '
                         'another feature')
    return at_least_float32(features[stage])


def same_grid(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Resize the student's (B, C, H, W) to the teacher's grid, bilinear, if it has another one."""
    if student.shape[2:] != teacher.shape[2:]:
        student = F.interpolate(student, size=teacher.shape[2:], mode='bilinear', align_corners=False)
    return student, teacher


def pool_to_grid(feature: Tensor, grid: int | None) -> Tensor:
    """Average-pool (B, C, H, W) to at most (grid, grid) positions; None: not at all."""
    height, width = feature.shape[2:]
    if grid is None or max(height, width) <= grid:
        return feature
    return F.adaptive_avg_pool2d(feature, (min(height, grid), min(width, grid)))


def kl_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of log-probabilities (..., K) over the last dimension, shape (...)."""
    return F.kl_div(student, teacher, reduction='none', log_target=True).sum(-1)
