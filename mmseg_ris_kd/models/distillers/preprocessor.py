"""One batch, prepared for two models."""
from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn


class DistillationPreprocessor(BaseDataPreprocessor):
    """Prepare the student's inputs, and the teacher's where the two are normalized or sized differently.

    Args:
        student: The student's data preprocessor; alone in charge outside training.
        teacher: The teacher's data preprocessor, or None if it would do the same.
        teacher_size: (height, width) of the teacher's inputs in pixels; None: as the pipeline made them.

    Raises:
        ValueError: One of two different preprocessors pads or augments, or ``teacher_size`` is no pair of pixels.
    """

    def __init__(self, student: nn.Module, *, teacher: nn.Module | None, teacher_size: tuple[int, int] | None):
        super().__init__()
        if teacher_size is not None and (not isinstance(teacher_size, (tuple, list)) or len(teacher_size) != 2 or
                                         not all(isinstance(side, int) and side > 0 for side in teacher_size)):
            raise ValueError(f'model.teacher_size must be (height, width) in pixels or None, but is {teacher_size!r}')
        if teacher is not None:
            _check_keeps_images(student, 'student')
            _check_keeps_images(teacher, 'teacher')
        self.student = student
        self.teacher = teacher
        self.teacher_size = teacher_size

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the student's ``inputs`` and ``data_samples``, in training with ``teacher_inputs`` or None."""
        if not training:
            return self.student(data, False)
        teacher_inputs = None
        if self.teacher is not None:
            # without samples and in test mode it neither pads nor touches the targets
            prepared = self.teacher(dict(inputs=data['inputs']), False)
            teacher_inputs = resize_inputs(prepared['inputs'], self.teacher_size)
        data = self.student(data, True)
        if self.teacher is None and self.teacher_size is not None:
            teacher_inputs = resize_inputs(data['inputs'], self.teacher_size)
        return dict(data, teacher_inputs=teacher_inputs)


def _check_keeps_images(preprocessor: nn.Module, owner: str) -> None:
    """Refuse what one of two preprocessors alone would do to its images."""
    if getattr(preprocessor, 'size', None) or (getattr(preprocessor, 'size_divisor', None) or 1) > 1:
        raise ValueError(f'model.{owner}.data_preprocessor pads images, and teacher and student are normalized '
                         'differently: their features would not lie over each other. Let the pipeline make images of '
                         'one size, without size and with size_divisor=1')
    if getattr(preprocessor, 'batch_augments', None) is not None:
        raise ValueError(f'model.{owner}.data_preprocessor has batch_augments, and teacher and student are normalized '
                         'differently: they would see different images. Let the pipeline augment')


def resize_inputs(inputs: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Resize images (B, 3, H, W) to ``size``, (height, width) in pixels, bilinear; None: as they are."""
    if size is None or tuple(inputs.shape[2:]) == tuple(size):
        return inputs
    return F.interpolate(inputs, size=size, mode='bilinear', align_corners=False, antialias=True)
