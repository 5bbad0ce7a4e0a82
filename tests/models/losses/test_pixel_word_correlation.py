"""Both orders of the pixel-word correlation against plain loops."""
from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mmseg_ris_kd.models.losses import PixelWordCorrelationLoss
from mmseg_ris_kd.models.losses.pixel_word_correlation import first_order_distance, high_order_distance


def first_order_by_loops(student, teacher, mask, tau):
    total = 0.
    for ours, theirs, real in zip(student, teacher, mask):
        per_pixel = []
        for a, b in zip(ours[:, real].tolist(), theirs[:, real].tolist()):
            p = [x**(1 / tau) for x in b]  # softmax of log(x) / tau
            q = [x**(1 / tau) for x in a]
            p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
            per_pixel.append(sum(x * math.log(x / y) for x, y in zip(p, q)))
        total += sum(per_pixel) / len(per_pixel)
    return total / len(mask)


def high_order_by_loops(student, teacher, mask):
    total = 0.
    for ours, theirs, real in zip(student, teacher, mask):
        correlations = []
        for attention in (ours[:, real].T.tolist(), theirs[:, real].T.tolist()):
            columns = [[x / math.sqrt(sum(y * y for y in column)) for x in column] for column in attention]
            correlations.append([[sum(x * y for x, y in zip(a, b)) for b in columns] for a in columns])
        words = len(correlations[0])
        total += sum((a - b)**2 for rows in zip(*correlations) for a, b in zip(*rows)) / words**2
    return total / len(mask)


def attention(seed):
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    scores = 2 * torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores.masked_fill(~mask[:, None], -1e4).softmax(-1), mask


@pytest.mark.parametrize('tau', [0.5, 1., 3.])
def test_first_order(tau):
    (student, mask), (teacher, _) = attention(1), attention(2)
    assert first_order_distance(student, teacher, mask, tau).item() == pytest.approx(
        first_order_by_loops(student, teacher, mask, tau), rel=1e-9)


def test_high_order():
    (student, mask), (teacher, _) = attention(1), attention(2)
    assert high_order_distance(student, teacher, mask).item() == pytest.approx(
        high_order_by_loops(student, teacher, mask), rel=1e-9)


@pytest.mark.parametrize('distance', [first_order_distance, high_order_distance])
def test_padding_does_not_matter(distance):
    (student, mask), (teacher, _) = attention(1), attention(2)
    wider = [F.pad(x, (0, 3)) for x in (student, teacher, mask)]
    torch.testing.assert_close(distance(*wider), distance(student, teacher, mask))


@pytest.mark.parametrize('distance', [first_order_distance, high_order_distance])
def test_gradients(distance):
    (student, mask), (teacher, _) = attention(1), attention(2)
    student = student.where(mask[:, None], 0.1).requires_grad_()  # away from zero, where the logarithm is clamped
    assert torch.autograd.gradcheck(lambda x: distance(x, teacher, mask), student)


def test_a_word_that_is_never_attended_to_gives_finite_gradients():
    (student, mask), (teacher, _) = attention(1), attention(2)
    student = student.clone()
    student[:, :, 1] = 0.
    student.requires_grad_()
    (first_order_distance(student, teacher, mask) + high_order_distance(student, teacher, mask)).backward()
    assert torch.isfinite(student.grad).all()


def test_heads_and_stages_are_averaged(make):
    student, teacher = make(seed=1, heads=3), make(seed=2, heads=2)
    loss = PixelWordCorrelationLoss(stages=(0, 2), first_order=2., high_order=0.5, tau=2.)
    means = [[record.attention[stage].mean(1) for record in (student, teacher)] for stage in (0, 2)]
    mask = student.text.mask
    assert loss(student, teacher)['loss_word_first'].item() == pytest.approx(
        2. * sum(first_order_by_loops(*pair, mask, 2.) for pair in means) / 2, rel=1e-9)
    assert loss(student, teacher)['loss_word_high'].item() == pytest.approx(
        0.5 * sum(high_order_by_loops(*pair, mask) for pair in means) / 2, rel=1e-9)


def test_maps_are_resized_to_the_grid_of_the_teacher(make):
    """A student's map of twice the size, constant over blocks, is the teacher's map."""
    teacher = make(seed=2)
    large = [F.interpolate(a.mean(1).transpose(1, 2).unflatten(2, f.shape[2:]), scale_factor=3, mode='nearest')
             for a, f in zip(teacher.attention, teacher.fused)]
    student = make(seed=1, sizes=[tuple(a.shape[2:]) for a in large])
    student.attention = tuple(a.flatten(2).transpose(1, 2)[:, None] for a in large)
    terms = PixelWordCorrelationLoss(stages=(0, ))(student, teacher)
    # bilinear reduction by three takes the middle of each block
    assert [value.item() for value in terms.values()] == pytest.approx([0., 0.], abs=1e-9)


@pytest.mark.parametrize('arguments', [dict(tau=0.), dict(first_order=0., high_order=0.), dict(first_order=-1.)])
def test_invalid(arguments):
    with pytest.raises(ValueError, match='PixelWordCorrelationLoss'):
        PixelWordCorrelationLoss(**arguments)


def test_terms_can_be_left_out(make):
    assert set(PixelWordCorrelationLoss(high_order=0.)(make(seed=1), make(seed=2))) == {'loss_word_first'}
    assert set(PixelWordCorrelationLoss(first_order=0.)(make(seed=1), make(seed=2))) == {'loss_word_high'}
