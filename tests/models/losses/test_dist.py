from __future__ import annotations

import pytest
import torch

from mmseg_ris_kd.models.losses import DISTLoss
from mmseg_ris_kd.models.losses.dist import inter_class_distance, intra_class_distance

INTER, INTRA = 0.8199778697, 0.8597142081


def table(logits):
    return logits.softmax(dim=1).movedim(1, -1).flatten(0, -2)


def test_golden(golden_pair):
    student, teacher = map(table, golden_pair)
    assert inter_class_distance(student, teacher).item() == pytest.approx(INTER, abs=1e-6)
    assert intra_class_distance(student, teacher).item() == pytest.approx(INTRA, abs=1e-6)
    distances = [f(*(table(x / 2) for x in golden_pair)) for f in (inter_class_distance, intra_class_distance)]
    torch.testing.assert_close(DISTLoss(tau=2.).compare(*golden_pair), 4 * sum(distances))
    assert DISTLoss(beta=2., gamma=0.5).compare(*golden_pair).item() == pytest.approx(2 * INTER + 0.5 * INTRA, abs=1e-5)


def test_two_classes_are_degenerate_and_take_the_bernoulli_form(golden_pair):
    two = [x[:, :2] for x in golden_pair]
    rows = inter_class_distance(*map(table, two))
    # 32 rows, each of them 0 or 2: there is nothing to learn
    assert float(rows * 32) == pytest.approx(round(float(rows * 32)), abs=1e-4)
    p = [(x[:, 1] - x[:, 0]).sigmoid().flatten() for x in two]
    expected = 1 - torch.corrcoef(torch.stack(p))[0, 1]
    torch.testing.assert_close(DISTLoss().compare(*two), expected, atol=1e-6, rtol=0)
    p = [((x[:, 1] - x[:, 0]) / 4).sigmoid().flatten() for x in two]
    softer = 16 * (1 - torch.corrcoef(torch.stack(p))[0, 1])
    torch.testing.assert_close(DISTLoss(tau=4.).compare(*two), softer, atol=1e-6, rtol=0)
    one = [x[:, 1:] - x[:, :1] for x in two]
    torch.testing.assert_close(DISTLoss().compare(*one), expected, atol=1e-6, rtol=0)
