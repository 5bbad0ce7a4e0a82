"""Tests of the metric's state."""
import math

import numpy as np
import pytest
import torch

from mmseg_ris_kd.evaluation.functional import MaskStatistics, mask_statistics
from mmseg_ris_kd.evaluation.protocols import PROTOCOLS
from mmseg_ris_kd.evaluation.sums import RISSums, scores_of, sums_of


def random_masks(*, seed=0, n=50):
    rng = np.random.default_rng(seed)
    return rng.random((2, n, 6, 6)) < rng.choice([0, 0.3, 0.8], size=(2, n, 1, 1))


def total(masks, protocol, **options):
    stats = mask_statistics(*masks)
    sums = RISSums(hits=[0] * len(protocol.thresholds))
    for i in range(len(stats.union)):
        sums = sums + sums_of(MaskStatistics(*(x[i] for x in stats)), protocol, **options)[0]
    return sums


def plain_counts(masks):
    """I, U, predicted and target pixels of each expression, pixel by pixel."""
    for pair in zip(*masks.tolist()):
        pixels = [(p, t) for rows in zip(*pair) for p, t in zip(*rows)]
        yield (sum(p and t for p, t in pixels), sum(p or t for p, t in pixels), sum(p for p, _ in pixels),
               sum(t for _, t in pixels))


@pytest.mark.parametrize('name', ['ours', 'lavt', 'cris', 'detris'])
@pytest.mark.parametrize('seed', range(3))
def test_scores_equal_plain_loops(name, seed):
    masks, protocol = random_masks(seed=seed), PROTOCOLS[name]
    counts = list(plain_counts(masks))
    assert any(u == 0 for _, u, _, _ in counts)
    ious = [protocol.empty_iou if u + protocol.eps == 0 else i / (u + protocol.eps) for i, u, _, _ in counts]
    compare = float.__ge__ if protocol.comparison == '>=' else float.__gt__
    expected = [math.fsum(ious) / 50, sum(c[0] for c in counts) / sum(c[1] for c in counts)]
    expected += [sum(compare(iou, x) for iou in ious) / 50 for x in protocol.thresholds]
    scores = scores_of(total(masks, protocol), protocol)
    assert list(scores) == ['mIoU', 'oIoU', *protocol.precision_names]
    assert list(scores.values()) == pytest.approx([100 * x for x in expected], abs=1e-10)


@pytest.mark.parametrize('name', ['ours', 'lavt', 'caris'])
def test_generalized_scores_equal_plain_loops_whatever_the_empty_policy(name):
    masks, protocol = random_masks(seed=1), PROTOCOLS[name]
    ious, tp, fn, tn, fp, total_i, total_u = [], 0, 0, 0, 0, 0, 0
    for i, u, p, t in plain_counts(masks):
        if t == 0:
            ious.append(0.0 if p else 1.0)
            tp, fn, total_u = tp + (p == 0), fn + (p > 0), total_u + p
        else:
            ious.append(i / u)
            tn, fp, total_i, total_u = tn + (p > 0), fp + (p == 0), total_i + i, total_u + u
    assert min(tp, fn, tn, fp) > 0
    scores = scores_of(total(masks, protocol, generalized=True), protocol, generalized=True)
    assert list(scores)[-4:] == ['gIoU', 'cIoU', 'N-acc', 'T-acc']
    assert list(scores.values())[-4:] == pytest.approx(
        [100 * x for x in (sum(ious) / 50, total_i / total_u, tp / (tp + fn), tn / (tn + fp))], abs=1e-10)


def test_generalized_precision_is_over_expressions_with_a_target():
    masks, protocol = random_masks(seed=2), PROTOCOLS['ours']
    hits = [2 * i >= u for i, u, _, t in plain_counts(masks) if t > 0]
    scores = scores_of(total(masks, protocol, generalized=True), protocol, generalized=True)
    assert scores['Pr@0.5'] == pytest.approx(100 * sum(hits) / len(hits), abs=1e-10)


def test_without_a_no_target_expression_its_accuracy_is_nan():
    scores = scores_of(total(np.ones((2, 1, 2, 2)), PROTOCOLS['ours'], generalized=True), PROTOCOLS['ours'],
                       generalized=True)
    assert math.isnan(scores.pop('N-acc')) and set(scores.values()) == {100.0}


def test_tensors_carry_everything_exactly():
    sums = RISSums(2 ** 40 + 1, 2 ** 53 + 1, 3, 4, 5, 6, 7, 8, [9, 10, 11], 0.1, 0.2)
    counts, ious = sums.to_tensors()
    assert (counts.dtype, ious.dtype) == (torch.int64, torch.float64)
    assert RISSums.from_tensors(counts, ious) == sums
    assert RISSums.from_tensors(2 * counts, 2 * ious) == sums + sums


def test_no_expressions_of_a_kind_give_nan_not_an_exception():
    scores = scores_of(RISSums(hits=[0]), PROTOCOLS['ours'], generalized=True)
    assert scores and all(math.isnan(value) for value in scores.values())
