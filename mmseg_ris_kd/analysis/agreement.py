"""On which expressions a student goes another way than its teacher, and whether it repeats the teacher's errors."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan

from mmengine.structures import PixelData
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


def groups_of(student: Tensor, teacher: Tensor, *, threshold: float = 0.5) -> dict[str, Tensor]:
    """Sort expressions by who is right.

    Args:
        student: IoUs of the student's masks with shape (N,).
        teacher: IoUs of the teacher's masks, in the same order.
        threshold: IoU from which on a mask is right.

    Returns:
        Boolean tensors with shape (N,) by the names of ``Agreement``; each expression is in one of them.

    Raises:
        ValueError: The shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError('expected the IoUs of student and teacher for the same expressions, but got the shapes '
                         f'{tuple(student.shape)} and {tuple(teacher.shape)}')
    ours, theirs = _is_right(student, threshold), _is_right(teacher, threshold)
    return dict(both=ours & theirs, neither=~ours & ~theirs, student_only=ours & ~theirs, teacher_only=~ours & theirs)


def agreement(student: Tensor, teacher: Tensor, *, threshold: float = 0.5) -> Agreement:
    """Count on which expressions a student and its teacher are right; see ``groups_of`` for the arguments."""
    groups = groups_of(student, teacher, threshold=threshold)
    return Agreement(**{name: int(group.sum()) for name, group in groups.items()})


def iou_with_wrong_teacher(overlap: Tensor, teacher: Tensor, *, threshold: float = 0.5) -> float:
    r"""Mean IoU between the masks of student and teacher over the expressions that the teacher gets wrong.

    It is 1 if the student repeats every wrong mask, S_n = T_n:

    .. math::
        \frac{1}{|W|} \sum_{n \in W} \mathrm{IoU}(S_n, T_n), \qquad W = \{n : \mathrm{IoU}(T_n, Y_n) < \theta\}

    Args:
        overlap: IoUs between the masks of student and teacher, IoU(S, T), with shape (N,).
        teacher: IoUs between the teacher's masks and the targets, IoU(T, Y), in the same order.
        threshold: IoU from which on a mask is right, theta.

    Returns:
        A value in [0, 1]; NaN if the teacher is never wrong.
    """
    return float(overlap[~_is_right(teacher, threshold)].double().mean())


def _is_right(ious: Tensor, threshold: float) -> Tensor:
    return exceeds(ious, [threshold])[:, 0]


def sample_iou(sample: SegDataSample) -> float:
    """IoU of ``pred_sem_seg`` and ``gt_sem_seg`` of a sample; both empty counts 1, as in the protocol ``ours``.

    Raises:
        ValueError: The sample has no target mask.
    """
    if 'gt_sem_seg' not in sample:
        raise ValueError(f'{sample.metainfo.get("img_path", "a sample")} has no target mask: add LoadReferringMask to '
                         'the pipeline of test_dataloader')
    return _iou(sample.pred_sem_seg, sample.gt_sem_seg)


def prediction_iou(sample: SegDataSample, other: SegDataSample) -> float:
    """IoU of the predictions ``pred_sem_seg`` of two models for one expression; both empty counts 1."""
    return _iou(sample.pred_sem_seg, other.pred_sem_seg)


def _iou(mask: PixelData, other: PixelData) -> float:
    counts = mask_statistics(mask.data.squeeze(0).to(other.data.device), other.data.squeeze(0))
    return float(iou(counts.intersection, counts.union))


def agreement_report(ious: Mapping[str, Tensor], overlaps: Mapping[str, Tensor], *, teacher: str,
                     threshold: float = 0.5) -> dict[str, dict]:
    """Describe every model in plain numbers, which JSON can hold.

    Args:
        ious: IoUs with the target with shape (N,) by model, the teacher's among them.
        overlaps: IoUs with the teacher's mask with shape (N,) by student.
        teacher: Name of the teacher.
        threshold: IoU from which on a mask is right.

    Returns:
        By model ``mIoU`` in percent and ``right``, a number of expressions; for students also ``counts`` and ``shares``
        (in percent) of the groups of ``Agreement``, and ``iou_with_wrong_teacher`` in percent, None if the teacher is
        never wrong.
    """
    report = {}
    for name, values in ious.items():
        report[name] = dict(mIoU=100 * float(values.double().mean()), right=int(_is_right(values, threshold).sum()))
        if name != teacher:
            counts = agreement(values, ious[teacher], threshold=threshold)
            repeated = 100 * iou_with_wrong_teacher(overlaps[name], ious[teacher], threshold=threshold)
            report[name].update(
                counts=asdict(counts), shares={group: counts.share(group) for group in asdict(counts)},
                iou_with_wrong_teacher=None if isnan(repeated) else repeated)
    return report


def agreement_table(report: Mapping[str, dict]) -> PrettyTable:
    """One row per model of ``agreement_report``: how often a student disagrees with the teacher, and which way."""
    table = PrettyTable(['', 'mIoU', 'both right', 'both wrong', 'disagree', 'only student right', 'only teacher right',
                         'IoU with wrong teacher'], align='r')
    for name, entry in report.items():
        cells = ['-'] * 6
        if 'shares' in entry:
            shares, repeated = entry['shares'], entry['iou_with_wrong_teacher']
            disagree = shares['student_only'] + shares['teacher_only']
            cells = [f'{share:.1f} %' for share in (shares['both'], shares['neither'], disagree,
                                                    shares['student_only'], shares['teacher_only'])]
            cells.append('-' if repeated is None else f'{repeated:.2f}')
        table.add_row([name, f'{entry["mIoU"]:.2f}', *cells])
    return table
