from __future__ import annotations

import pytest

from mmseg_ris_kd.models.losses import AttentionTransferLoss


def test_golden(golden_pair):
    assert AttentionTransferLoss().compare(*golden_pair).item() == pytest.approx(0.0222583579, abs=1e-9)


def test_any_number_of_channels(golden_pair):
    student, teacher = golden_pair
    loss = AttentionTransferLoss()
    assert loss.compare(student.repeat(1, 2, 1, 1), teacher).item() == pytest.approx(
        loss.compare(student, teacher).item())
