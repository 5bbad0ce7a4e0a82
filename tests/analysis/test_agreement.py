"""Who is right where the other is wrong."""
from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_ris_kd.analysis.agreement import Agreement, agreement, agreement_table, sample_iou

TEACHER = torch.tensor([0.9, 0.5, 0.49, 0.0, 1.0])
STUDENT = torch.tensor([0.5, 0.2, 0.50, 0.1, 0.4])


def test_counts_of_the_four_groups():
    counts = agreement(STUDENT, TEACHER)
    assert counts == Agreement(both=1, neither=1, student_only=1, teacher_only=2) and counts.total == 5
    assert counts.share('student_only', 'teacher_only') == pytest.approx(60)
    assert agreement(STUDENT, TEACHER, threshold=0.3) == Agreement(both=3, neither=1, student_only=0, teacher_only=1)
    assert agreement(torch.zeros(0), torch.zeros(0)).share('both') == 0


def test_different_samples_are_refused():
    with pytest.raises(ValueError, match=r'\(4,\) and \(5,\)'):
        agreement(STUDENT[:4], TEACHER)


def test_table_has_the_shares_of_students_only():
    table = agreement_table(dict(teacher=TEACHER, student=STUDENT), teacher='teacher')
    assert table.rows == [['teacher', '57.80', *['-'] * 5],
                          ['student', '34.00', '20.0 %', '20.0 %', '60.0 %', '20.0 %', '40.0 %']]


def test_iou_of_a_sample():
    sample = SegDataSample(pred_sem_seg=PixelData(data=torch.tensor([[[1, 1, 0]]])), metainfo=dict(img_path='a.png'))
    with pytest.raises(ValueError, match='a.png has no target mask'):
        sample_iou(sample)
    sample.gt_sem_seg = PixelData(data=torch.tensor([[[0, 1, 1]]]))
    assert sample_iou(sample) == pytest.approx(1 / 3)
    sample.gt_sem_seg.data = sample.pred_sem_seg.data = torch.zeros(1, 1, 3, dtype=torch.int64)
    assert sample_iou(sample) == 1
