from __future__ import annotations

import pytest
from mmengine.registry import init_default_scope

from mmseg_ris_kd.models.losses import ChannelRelationLoss, CMKDLoss, PixelWordCorrelationLoss


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def test_sum_of_its_terms(make):
    student, teacher = make(seed=1), make(seed=2)
    loss = CMKDLoss(pixel_word=dict(tau=2., loss_weight=3.), channel=dict(stages=(1, 2)), loss_weight=0.5)
    loss.connect(make.channels(student), make.channels(teacher))
    expected = {}
    for part, weight in ((PixelWordCorrelationLoss(tau=2.), 1.5), (ChannelRelationLoss(stages=(1, 2)), 0.5)):
        part.connect(make.channels(student), make.channels(teacher))
        expected.update({name: weight * value.item() for name, value in part(student, teacher).items()})
    assert {name: value.item() for name, value in loss(student, teacher).items()} == pytest.approx(expected)


def test_terms_can_be_left_out(make):
    student, teacher = make(seed=1), make(seed=2)
    for arguments, names in (
        (dict(pixel_word={}, channel=None), {'loss_word_first', 'loss_word_high'}),
        (dict(pixel_word=None, channel={}), {'loss_channel'}),
        (dict(pixel_word=None, channel=None, channel_word={}), {'loss_channel_word'}),
    ):
        loss = CMKDLoss(**arguments)
        loss.connect(make.channels(student), make.channels(teacher))
        assert set(loss(student, teacher)) == names
    with pytest.raises(ValueError, match='nothing to distil'):
        CMKDLoss(pixel_word=None, channel=None)


def test_adapters_belong_to_the_loss(make):
    loss = CMKDLoss(pixel_word={}, channel=dict(stages=(0, 1)))
    loss.connect(make.channels(make(seed=1)), make.channels(make(seed=2, channels=(9, 4, 8, 8))))
    assert sum(p.numel() for p in loss.parameters()) == 3 * 9 + 9  # stage 0 only: stage 1 has equal channels
