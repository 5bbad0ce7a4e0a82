"""On which expressions a student goes another way than its teacher."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmseg.structures import SegDataSample
from prettytable import PrettyTable
from torch import Tensor

from ..evaluation.functional import exceeds, iou, mask_statistics


@dataclass(frozen=True)
class Agreement:
    """Numbers of expressions by who is right, that is reaches the IoU.

    Args:
        both: Student and teacher are right.
        neither: Both are wrong.
        student_only: The student is right, the teacher wrong.
        teacher_only: The teacher is right, the student wrong.
    """
    both: int
    neither: int
    student_only: int
    teacher_only: int

    @property
    def total(self) -> int:
        return self.both + self.neither + self.student_only + self.teacher_only

    def share(self, *names: str) -> float:
        """Percentage of the expressions in the named groups."""
        return 100 * sum(getattr(self, name) for name in names) / max(1, self.total)


def agreement(student: Tensor, teacher: Tensor, *, threshold: float = 0.5) -> Agreement:
    """Count on which expressions a student and its teacher are right.

    Args:
        student: IoUs of the student's masks with shape (N,).
        teacher: IoUs of the teacher's masks, in the same order.
        threshold: IoU from which on a mask is right.

    Raises:
        ValueError: The shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError('expected the IoUs of student and teacher for the same expressions, but got the shapes '
                         f'{tuple(student.shape)} and {tuple(teacher.shape)}')
    ours, theirs = (exceeds(ious, [threshold])[:, 0] for ious in (student, teacher))
    groups = (ours & theirs, ~ours & ~theirs, ours & ~theirs, ~ours & theirs)
    return Agreement(*(int(group.sum()) for group in groups))


def sample_iou(sample: SegDataSample) -> float:
    """IoU of ``pred_sem_seg`` and ``gt_sem_seg`` of a sample; both empty counts 1, as in the protocol ``ours``.

    Raises:
        ValueError: The sample has no target mask.
    """
    if 'gt_sem_seg' not in sample:
        raise ValueError(f'{sample.metainfo.get("img_path", "a sample")} has no target mask: add LoadReferringMask to '
                         'the pipeline of test_dataloader')
    target = sample.gt_sem_seg.data.squeeze(0)
    counts = mask_statistics(sample.pred_sem_seg.data.squeeze(0).to(target.device), target)
    return float(iou(counts.intersection, counts.union))


def agreement_table(ious: Mapping[str, Tensor], *, teacher: str, threshold: float = 0.5) -> PrettyTable:
    """One row per model: mIoU, and in percent how often it disagrees with the teacher, which way.

    Args:
        ious: IoUs with shape (N,) by model, the teacher's among them.
        teacher: Name of the teacher.
        threshold: IoU from which on a mask is right.
    """
    table = PrettyTable(['', 'mIoU', 'both right', 'both wrong', 'disagree', 'student right, teacher wrong',
                         'teacher right, student wrong'], align='r')
    for name, values in ious.items():
        cells = ['-'] * 5
        if name != teacher:
            counts = agreement(values, ious[teacher], threshold=threshold)
            groups = (('both', ), ('neither', ), ('student_only', 'teacher_only'), ('student_only', ),
                      ('teacher_only', ))
            cells = [f'{counts.share(*group):.1f} %' for group in groups]
        table.add_row([name, f'{100 * torch.as_tensor(values).mean():.2f}', *cells])
    return table
