"""The channel relation against plain loops."""
from __future__ import annotations

import math

import pytest
import torch

from mmseg_ris_kd.models.losses import ChannelRelationLoss
from mmseg_ris_kd.models.losses.channel_relation import channel_correlation, pool_to_grid


def softmax(values):
    exponentials = [math.exp(value) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def by_loops(student, teacher, tau, guided):
    total = 0.
    for ours, theirs in zip(student.flatten(2).tolist(), teacher.flatten(2).tolist()):
        attentions = []
        for channels in (ours, theirs):
            unit = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in channels]
            attentions.append([softmax([sum(x * y for x, y in zip(a, b)) / tau for b in unit]) for a in unit])
        rows = [sum(p * math.log(p / q) for p, q in zip(b, a)) for a, b in zip(*attentions)]
        weights = softmax([sum(row) / len(row) for row in theirs]) if guided else [1 / len(rows)] * len(rows)
        total += sum(weight * row for weight, row in zip(weights, rows))
    return total / len(student)


@pytest.mark.parametrize('guided', [False, True])
@pytest.mark.parametrize('tau', [0.1, 1.])
def test_by_loops(golden_pair, tau, guided):
    loss = ChannelRelationLoss(tau=tau, guided=guided)
    assert loss.compare(*golden_pair).item() == pytest.approx(by_loops(*golden_pair, tau, guided), rel=1e-9)


def test_centered_relations_are_correlations(golden_pair):
    student, teacher = golden_pair
    correlations = torch.stack([torch.corrcoef(image.flatten(1)) for image in student])
    torch.testing.assert_close(channel_correlation(student, centered=True), correlations)
    shifted = student + torch.tensor([1., -2., 5.]).double()[:, None, None]
    loss = ChannelRelationLoss(centered=True)
    torch.testing.assert_close(loss.compare(shifted, teacher), loss.compare(student, teacher))


@pytest.mark.parametrize('guided', [False, True])
def test_gradients(golden_pair, guided):
    student, teacher = golden_pair
    loss = ChannelRelationLoss(tau=0.5, guided=guided)
    assert torch.autograd.gradcheck(lambda x: loss.compare(x, teacher), student.clone().requires_grad_())


def test_relations_not_features(golden_pair):
    """Scaling every channel by its own factor changes no cosine, so the student stays free to do so."""
    student, teacher = golden_pair
    scales = torch.tensor([0.2, 3., 5.]).double()[None, :, None, None]
    loss = ChannelRelationLoss(guided=False)
    torch.testing.assert_close(loss.compare(student * scales, teacher), loss.compare(student, teacher))


def test_pooling_before_the_adapter_is_pooling_after_it(make):
    student, teacher = make(seed=1), make(seed=2, channels=(4, 4, 8, 8))
    loss = ChannelRelationLoss(stages=(0, ), grid=3)
    loss.connect(make.channels(student), make.channels(teacher))
    loss.double()
    adapted = loss.adapters(student.fused[0], teacher.fused[0], 0)
    after = loss.compare(pool_to_grid(adapted, 3), pool_to_grid(teacher.fused[0], 3))
    torch.testing.assert_close(loss(student, teacher)['loss_channel'], after)


def test_without_a_grid_nothing_is_pooled():
    feature = torch.randn(1, 2, 40, 3)
    assert ChannelRelationLoss(grid=None).prepare(feature) is feature


@pytest.mark.parametrize('scale', [0., 1e-9, 1e-4])
def test_a_dead_channel_is_not_the_whole_gradient(golden_pair, scale):
    norms = []
    for factor in (1., scale):
        student, teacher = (x.clone() for x in golden_pair)
        student[:, 0] *= factor
        teacher[:, 1] *= factor
        student.requires_grad_()
        ChannelRelationLoss().compare(student, teacher).backward()
        norms.append(student.grad.norm())
    assert norms[1] < 300 * norms[0]  # the floor of a norm is a hundredth of the usual one; without one, 1e7


@pytest.mark.parametrize('arguments', [dict(tau=0.), dict(grid=0)])
def test_invalid(arguments):
    with pytest.raises(ValueError, match='ChannelRelationLoss'):
        ChannelRelationLoss(**arguments)
