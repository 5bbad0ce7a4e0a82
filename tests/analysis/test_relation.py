"""Channel relations: maps fitted to other samples, orders and spectra."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mmseg_ris_kd.analysis.relation import (
    channel_order,
    compare_relations,
    find_channel_relation,
    map_by_other_images,
    mean_relation,
    relation_spectrum,
)
from mmseg_ris_kd.models.losses import ChannelRelationLoss, CMKDLoss, PixelWordCorrelationLoss

IMAGES = ['a', 'b', 'c', 'd']


def features(samples=4, channels=5, size=6, seed=0):
    return torch.randn(samples, channels, size, size, generator=torch.Generator().manual_seed(seed))


def test_an_exact_map_is_found():
    student = features()
    mix, bias = features(1, 7, 5, seed=1)[0, :, :, 0], features(1, 7, 1, seed=2)[0]
    teacher = torch.einsum('tc,nchw->nthw', mix, student) + bias[None]
    torch.testing.assert_close(map_by_other_images(student, teacher, IMAGES), teacher, atol=0.02, rtol=0.02)


def test_a_sample_is_mapped_by_what_the_others_taught():
    student, teacher = features(3), features(3, 7, seed=1)
    mapped = map_by_other_images(student, teacher, IMAGES[:len(student)])
    changed = teacher.clone()
    changed[0] += 10
    again = map_by_other_images(student, changed, IMAGES[:3])
    torch.testing.assert_close(again[0], mapped[0])  # its own target does not matter
    assert not torch.allclose(again[1], mapped[1])
    # the plain rewrite: least squares over the positions of samples 1 and 2
    source = torch.cat([student[1:], torch.ones_like(student[1:, :1])], 1).transpose(0, 1).flatten(1).T.numpy()
    target = teacher[1:].transpose(0, 1).flatten(1).T.numpy()
    weights = np.linalg.lstsq(source, target, rcond=None)[0]
    own = np.concatenate([student[0].flatten(1).numpy(), np.ones((1, 36), np.float32)])
    np.testing.assert_allclose(mapped[0].flatten(1).numpy(), weights.T @ own, atol=0.01)


def test_more_channels_than_positions_have_a_finite_map():
    mapped = map_by_other_images(features(2, 40, 2), features(2, 9, 2, seed=1), IMAGES[:2])
    assert mapped.shape == (2, 9, 2, 2) and mapped.isfinite().all()


def test_samples_of_one_image_do_not_teach_each_other():
    student, teacher = features(3), features(3, 7, seed=1)
    mapped = map_by_other_images(student, teacher, ['a', 'b', 'a'])
    torch.testing.assert_close(mapped[0], map_by_other_images(student[:2], teacher[:2], ['a', 'b'])[0])


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match='all 2 samples show one image, a.png'):
        map_by_other_images(features(2), features(2), ['a.png', 'a.png'])
    with pytest.raises(ValueError, match='the same samples on the same grid'):
        map_by_other_images(features(2), features(2, size=3), IMAGES[:2])


def test_order_brings_blocks_together():
    block = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    order = channel_order((block[:, None] == block).float())
    assert sorted(order.tolist()) == list(range(8))
    assert (np.diff(block.numpy()[order]) != 0).sum() == 2  # three blocks, each in one piece
    assert channel_order(torch.eye(2)).tolist() == [0, 1]


def test_spectrum_sums_to_one_and_tells_copies_from_independent_channels():
    assert relation_spectrum(torch.eye(4)) == pytest.approx([0.25] * 4)
    assert relation_spectrum(torch.ones(4, 4)) == pytest.approx([1, 0, 0, 0], abs=1e-6)
    assert relation_spectrum(torch.zeros(3, 3)).tolist() == [0, 0, 0]  # dead channels


def test_the_relation_inside_another_loss_is_found():
    cmkd = CMKDLoss(pixel_word={}, channel=dict(stages=(1, 2)))
    losses = nn.ModuleDict(dict(words=PixelWordCorrelationLoss(), cmkd=cmkd))
    assert find_channel_relation(losses, 2) is cmkd.losses[1]
    assert find_channel_relation(losses, 0) is None


def test_distances_are_those_of_the_loss():
    torch.manual_seed(0)
    loss = ChannelRelationLoss(stages=(1, ))
    loss.connect(dict(fused=(4, 5)), dict(fused=(6, 7)))
    theirs, alone, distilled = features(3, 7), features(3, 5, seed=1), features(3, 5, size=3, seed=2)
    given = dict(teacher=theirs, alone=alone, distilled=distilled)
    teacher, *others = compare_relations(given, loss, 1, images=IMAGES[:3], teacher='teacher', adapted='distilled')
    torch.testing.assert_close(teacher.relation, mean_relation(theirs))
    assert [(relation.name, relation.how) for relation in others] == [
        ('alone', 'least-squares map'), ('distilled', 'least-squares map'), ('distilled', 'trained adapter')]
    mapped = map_by_other_images(alone, theirs, IMAGES[:3])
    assert others[0].distance == pytest.approx(loss.compare(mapped, theirs).item())
    grown = nn.functional.interpolate(distilled, size=6, mode='bilinear', align_corners=False)
    adapted = loss.adapters['1'](grown)
    assert others[2].distance == pytest.approx(loss.compare(adapted, theirs).item())
    torch.testing.assert_close(others[2].relation, mean_relation(adapted).detach())


def test_equal_channels_have_no_adapter():
    loss = ChannelRelationLoss(stages=(0, ))
    loss.connect(dict(fused=(5, )), dict(fused=(5, )))
    theirs, ours = features(), features(seed=1)
    *_, last = compare_relations(dict(teacher=theirs, student=ours), loss, 0, images=IMAGES, teacher='teacher',
                                 adapted='student')
    assert last.how == 'as it is' and last.distance == pytest.approx(loss.compare(ours, theirs).item())
