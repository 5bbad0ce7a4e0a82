from __future__ import annotations

import pytest

from mmseg_ris_kd.models.losses import CIRKDMiniBatchLoss


def test_golden(golden_pair):
    assert CIRKDMiniBatchLoss(tau=1.).compare(*golden_pair).item() == pytest.approx(0.4818412066, abs=1e-7)


def test_pooled(make):
    student, teacher = make(seed=1), make(seed=2)
    pooled = CIRKDMiniBatchLoss(grid=2, stages=(0, ))(student, teacher)['loss_cirkd']
    whole = CIRKDMiniBatchLoss(grid=None, stages=(0, ))(student, teacher)['loss_cirkd']
    assert pooled != whole
