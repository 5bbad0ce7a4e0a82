from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mmseg_ris_kd.models.losses import ChannelWordRelationLoss


def relation_by_loops(feature, attention, tau):
    """One image: (C, P) and (P, L) to C distributions over L words."""
    rows = []
    for channel in feature.tolist():
        scores = []
        for word in attention.T.tolist():
            norms = math.sqrt(sum(x * x for x in channel)) * math.sqrt(sum(x * x for x in word))
            scores.append(math.exp(sum(x * y for x, y in zip(channel, word)) / norms / tau))
        rows.append([score / sum(scores) for score in scores])
    return rows


def test_by_loops(make):
    student, teacher = make(seed=1), make(seed=2, channels=(5, 6, 7, 8))
    loss = ChannelWordRelationLoss(stages=(0, 1), tau=0.3)
    loss.connect(make.channels(student), make.channels(teacher))
    loss.double()
    adapted = replace(student, fused=tuple(loss.adapters[str(stage)](student.fused[stage]) for stage in (0, 1)))
    expected = 0.
    for stage in (0, 1):
        for image, real in enumerate(student.text.mask):
            pairs = [relation_by_loops(record.fused[stage][image].flatten(1),
                                       record.attention[stage][image].mean(0)[:, real], 0.3)
                     for record in (adapted, teacher)]
            rows = [sum(p * math.log(p / q) for p, q in zip(b, a)) for a, b in zip(*pairs)]
            expected += sum(rows) / len(rows) / 4
    assert loss(student, teacher)['loss_channel_word'].item() == pytest.approx(expected, rel=1e-9)


def test_invalid():
    with pytest.raises(ValueError, match='tau must be positive'):
        ChannelWordRelationLoss(tau=0.)


def test_needs_fused_features_and_attention(make):
    student, teacher = make(seed=1), make(seed=2)
    student.attention = ()
    loss = ChannelWordRelationLoss()
    loss.connect(make.channels(student), make.channels(teacher))
    with pytest.raises(ValueError, match="'attention', but the student has 0"):
        loss(student, teacher)
