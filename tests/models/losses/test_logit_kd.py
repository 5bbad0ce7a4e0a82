from __future__ import annotations

import pytest
import torch

from mmseg_ris_kd.models.losses import LogitKDLoss


def test_golden(golden_pair):
    assert LogitKDLoss().compare(*golden_pair).item() == pytest.approx(0.3297879208, abs=1e-9)


def test_one_channel_is_a_bernoulli_distribution(golden_pair):
    """KL between Bernoulli distributions, and the same loss from two channels whose difference is the logit."""
    (student, teacher), tau = (x[:, :1] for x in golden_pair), 2.
    p, q = (teacher / tau).sigmoid(), (student / tau).sigmoid()
    expected = tau**2 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    loss = LogitKDLoss(tau=tau)
    torch.testing.assert_close(loss.compare(student, teacher), expected)
    two = torch.cat([student + 5., 2 * student + 5.], dim=1)
    torch.testing.assert_close(loss.compare(two, teacher), expected)
    assert expected > 0
