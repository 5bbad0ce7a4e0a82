"""Who is right where the other is wrong."""
from __future__ import annotations

import json
import math

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_ris_kd.analysis.agreement import (
    Agreement,
    agreement,
    agreement_report,
    agreement_table,
    groups_of,
    iou_with_wrong_teacher,
    prediction_iou,
    sample_iou,
)

TEACHER = torch.tensor([0.9, 0.5, 0.49, 0.0, 1.0])
STUDENT = torch.tensor([0.5, 0.2, 0.50, 0.1, 0.4])
OVERLAP = torch.tensor([0.9, 0.9, 0.25, 0.5, 0.9])  # between their masks; the teacher is wrong on the third and fourth


def test_counts_of_the_four_groups():
    counts = agreement(STUDENT, TEACHER)
    assert counts == Agreement(both=1, neither=1, student_only=1, teacher_only=2) and counts.total == 5
    assert counts.share('student_only', 'teacher_only') == pytest.approx(60)
    assert agreement(STUDENT, TEACHER, threshold=0.3) == Agreement(both=3, neither=1, student_only=0, teacher_only=1)
    assert agreement(torch.zeros(0), torch.zeros(0)).share('both') == 0


def test_different_samples_are_refused():
    with pytest.raises(ValueError, match=r'\(4,\) and \(5,\)'):
        agreement(STUDENT[:4], TEACHER)


def test_every_expression_is_in_one_group():
    groups = groups_of(STUDENT, TEACHER)
    assert {name: group.nonzero().flatten().tolist() for name, group in groups.items()} == dict(
        both=[0], neither=[3], student_only=[2], teacher_only=[1, 4])


def test_overlap_counts_where_the_teacher_is_wrong():
    assert iou_with_wrong_teacher(OVERLAP, TEACHER) == pytest.approx((0.25 + 0.5) / 2)
    assert iou_with_wrong_teacher(OVERLAP, TEACHER, threshold=0.4) == pytest.approx(0.5)
    assert math.isnan(iou_with_wrong_teacher(OVERLAP, TEACHER, threshold=0.))


def test_report_is_plain_numbers_in_percent():
    report = agreement_report(dict(teacher=TEACHER, student=STUDENT), dict(student=OVERLAP), teacher='teacher')
    assert json.loads(json.dumps(report)) == dict(
        teacher=dict(mIoU=pytest.approx(57.8), right=3),
        student=dict(mIoU=pytest.approx(34), right=2, counts=dict(both=1, neither=1, student_only=1, teacher_only=2),
                     shares=dict(both=20, neither=20, student_only=20, teacher_only=40), iou_with_wrong_teacher=37.5))


def test_table_has_the_shares_of_students_only():
    ious, overlaps = dict(teacher=TEACHER, student=STUDENT), dict(student=OVERLAP)
    row = ['student', '34.00', '20.0 %', '20.0 %', '60.0 %', '20.0 %', '40.0 %', '37.50']
    assert agreement_table(agreement_report(ious, overlaps, teacher='teacher')).rows == [
        ['teacher', '57.80', *['-'] * 6], row]
    report = agreement_report(ious, overlaps, teacher='teacher', threshold=0.)
    assert report['student']['iou_with_wrong_teacher'] is None and agreement_table(report).rows[1][-1] == '-'


def test_iou_of_a_sample():
    sample = SegDataSample(pred_sem_seg=PixelData(data=torch.tensor([[[1, 1, 0]]])), metainfo=dict(img_path='a.png'))
    with pytest.raises(ValueError, match='a.png has no target mask'):
        sample_iou(sample)
    sample.gt_sem_seg = PixelData(data=torch.tensor([[[0, 1, 1]]]))
    assert sample_iou(sample) == pytest.approx(1 / 3)
    sample.gt_sem_seg.data = sample.pred_sem_seg.data = torch.zeros(1, 1, 3, dtype=torch.int64)
    assert sample_iou(sample) == 1


def test_iou_of_two_predictions_leaves_the_target_aside():
    masks = [[1, 1, 0, 0]], [[1, 1, 1, 1]], [[0, 0, 0, 0]]
    samples = [SegDataSample(pred_sem_seg=PixelData(data=torch.tensor([mask])),
                             gt_sem_seg=PixelData(data=torch.ones(1, 1, 4, dtype=torch.int64))) for mask in masks]
    half, whole, none = samples
    assert prediction_iou(half, whole) == prediction_iou(whole, half) == 0.5
    assert prediction_iou(half, none) == 0 and prediction_iou(none, none) == prediction_iou(half, half) == 1
