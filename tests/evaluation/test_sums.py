"""Tests of the metric's state."""
import math

import numpy as np
import pytest
import torch

from mmseg_ris_kd.evaluation import functional
from mmseg_ris_kd.evaluation.protocols import PROTOCOLS
from mmseg_ris_kd.evaluation.sums import RISSums, scores_of, sums_of


def statistics(*, seed=0, n=50):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, n, 6, 6)) < rng.choice([0, 0.3, 0.8], size=(2, n, 1, 1))
    return functional.mask_statistics(*masks)


def total(stats, protocol, **options):
    sums = RISSums(hits=[0] * len(protocol.thresholds))
    for i in range(len(stats.union)):
        sums = sums + sums_of(functional.MaskStatistics(*(x[i] for x in stats)), protocol, **options)[0]
    return sums


@pytest.mark.parametrize('name', ['default', 'lavt', 'cris', 'detris'])
def test_scores_from_sums_equal_scores_from_all_expressions(name):
    stats, protocol = statistics(), PROTOCOLS[name]
    assert (stats.union == 0).any()
    ious = functional.iou(stats.intersection, stats.union, empty_iou=protocol.empty_iou, eps=protocol.eps)
    precision = functional.precision_at(ious, protocol.thresholds, comparison=protocol.comparison)
    expected = [ious.mean(), functional.overall_iou(stats.intersection, stats.union), *precision]
    scores = scores_of(total(stats, protocol), protocol)
    assert list(scores) == ['mIoU', 'oIoU', *protocol.precision_names]
    assert list(scores.values()) == pytest.approx([100 * float(x) for x in expected], abs=1e-10)


def test_generalized_scores_do_not_depend_on_the_empty_policy():
    stats = statistics(seed=1)
    expected = {name: 100 * value for name, value in functional.generalized_scores(stats).items()}
    for name in ('default', 'lavt', 'caris'):
        protocol = PROTOCOLS[name]
        scores = scores_of(total(stats, protocol, generalized=True), protocol, generalized=True)
        assert {key: scores[key] for key in expected} == pytest.approx(expected, abs=1e-10)


def test_generalized_precision_is_over_expressions_with_a_target():
    stats, protocol = statistics(seed=2), PROTOCOLS['default']
    ious = functional.iou(stats.intersection, stats.union)[stats.target > 0]
    scores = scores_of(total(stats, protocol, generalized=True), protocol, generalized=True)
    assert scores['Pr@0.5'] == pytest.approx(100 * functional.precision_at(ious, [0.5]).item(), abs=1e-10)


def test_tensors_carry_everything_exactly():
    sums = RISSums(2 ** 40 + 1, 2 ** 53 + 1, 3, 4, 5, 6, 7, 8, [9, 10, 11], 0.1, 0.2)
    counts, ious = sums.to_tensors()
    assert (counts.dtype, ious.dtype) == (torch.int64, torch.float64)
    assert RISSums.from_tensors(counts, ious) == sums
    assert RISSums.from_tensors(2 * counts, 2 * ious) == sums + sums


def test_no_expressions_of_a_kind_give_nan_not_an_exception():
    scores = scores_of(RISSums(hits=[0]), PROTOCOLS['default'], generalized=True)
    assert scores and all(math.isnan(value) for value in scores.values())
