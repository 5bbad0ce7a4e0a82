"""Convolutions that exist in training only and map a student's channels to its teacher's."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class ChannelAdapters(nn.ModuleDict):
    """A 1x1 convolution for each stage whose channels differ between student and teacher.

    Adapters are parameters of a distillation loss: trained and resumed with the student, and in no exported model.

    Args:
        stages: Positions in the records' tuples that are compared.
        student_channels: Channels of the student's feature at each position of the tuple.
        teacher_channels: Channels of the teacher's feature.

    Raises:
        ValueError: A model has no such stage.
    """

    def __init__(self, stages: Sequence[int], student_channels: Sequence[int], teacher_channels: Sequence[int]):
        super().__init__()
        for name, channels in (('student', student_channels), ('teacher', teacher_channels)):
            if len(channels) <= max(stages):
                raise ValueError(f'a distillation loss compares the stages {tuple(stages)}, but the {name} hands out '
                                 f'{len(channels)}, of {tuple(channels)} channels: choose other stages or features')
        self.channels = {stage: (student_channels[stage], teacher_channels[stage]) for stage in stages}
        self.update({str(stage): nn.Conv2d(*pair, 1) for stage, pair in self.channels.items() if pair[0] != pair[1]})

    def forward(self, student: Tensor, teacher: Tensor, stage: int) -> Tensor:
        """Return the student's (B, C_S, H, W) with as many channels as the teacher's (B, C_T, H', W').

        Raises:
            ValueError: The features have other channels than these adapters were built for.
        """
        got = (student.shape[1], teacher.shape[1])
        if got != self.channels[stage]:
            raise ValueError(f'stage {stage} has {got[0]} (student) and {got[1]} (teacher) channels, but the loss was '
                             f'built for {self.channels[stage]}: these models are not those it was connected to')
        return self[str(stage)](student) if str(stage) in self else student
