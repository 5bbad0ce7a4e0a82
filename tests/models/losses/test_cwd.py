from __future__ import annotations

import pytest

from mmseg_ris_kd.models.losses import CWDLoss


def test_golden(golden_pair):
    assert CWDLoss().compare(*golden_pair).item() == pytest.approx(0.4054482660, abs=1e-9)


def test_temperature(golden_pair):
    student, teacher = golden_pair
    scaled = CWDLoss(tau=1.).compare(student / 4, teacher / 4).item()
    assert CWDLoss(tau=4.).compare(student, teacher).item() == pytest.approx(16 * scaled)
