from __future__ import annotations

from dataclasses import replace

import pytest

from mmseg_ris_kd.models.losses import CWDLoss


def test_golden(golden_pair):
    assert CWDLoss().compare(*golden_pair).item() == pytest.approx(0.4054482660, abs=1e-9)


def test_one_logit_channel_and_two_meet_in_the_log_odds(make):
    """A sigmoid model and a softmax model of the same masks are equal; nothing trained lies between them."""
    softmax, sigmoid = make(seed=1), make(seed=2, classes=1)
    same = replace(sigmoid, logits=softmax.logits[:, 1:] - softmax.logits[:, :1])
    for pair in ((softmax, sigmoid), (sigmoid, softmax)):
        loss = CWDLoss(feature='logits', stages=(0, ))
        loss.connect(*map(make.channels, pair))
        assert not list(loss.parameters()) and loss(*pair)['loss_cwd'] > 1e-3
    assert loss(same, softmax)['loss_cwd'].item() == pytest.approx(0, abs=1e-12)


def test_temperature(golden_pair):
    student, teacher = golden_pair
    scaled = CWDLoss(tau=1.).compare(student / 4, teacher / 4).item()
    assert CWDLoss(tau=4.).compare(student, teacher).item() == pytest.approx(16 * scaled)
