from __future__ import annotations

import pytest

from mmseg_ris_kd.models.losses import ICKDLoss


def test_golden(golden_pair):
    assert ICKDLoss().compare(*golden_pair).item() == pytest.approx(1.7357712046, abs=1e-9)
