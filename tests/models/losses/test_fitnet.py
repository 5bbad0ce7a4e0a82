from __future__ import annotations

import pytest

from mmseg_ris_kd.models.losses import FitNetLoss


def test_mean_squared_error(golden_pair):
    student, teacher = golden_pair
    pairs = zip(student.flatten().tolist(), teacher.flatten().tolist())
    assert FitNetLoss().compare(*golden_pair).item() == pytest.approx(sum((a - b)**2 for a, b in pairs) / 96)
