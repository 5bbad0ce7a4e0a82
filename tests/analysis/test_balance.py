from __future__ import annotations

import math

import pytest
import torch

from mmseg_ris_kd.analysis.balance import balanced_weight, group_losses, measure_pulls


def linear_losses(student, adapter, scale=1.):
    """Losses whose gradients to the student are (3, 4) * scale, (6, 8), (0, -8), and (0, 5)."""
    x, y = student
    return {
        'decode.loss_ce': scale * (3 * x + 4 * y[0]),
        'decode.acc': 100 * x,
        'distill.two.loss_a': 6 * x + 8 * y[0] + 1000 * adapter,
        'distill.two.loss_b': -8 * y[0],
        'distill.one.loss_c': 5 * y[0] - 1000 * adapter,
        'distill.none.loss_d': 7 * adapter,
        'distill.constant.loss_e': torch.tensor(2.),
    }


@pytest.fixture
def student():
    return [torch.tensor(1., requires_grad=True), torch.tensor([2., 9.], requires_grad=True)]


def test_ratios_of_known_gradients(student):
    adapter = torch.tensor(0., requires_grad=True)
    pulls = measure_pulls([linear_losses(student, adapter)], student)
    assert {name: pull.ratio for name, pull in pulls.items()} == pytest.approx({
        'distill.two': 6 / 5, 'distill.two.loss_a': 10 / 5, 'distill.two.loss_b': 8 / 5,
        'distill.one': 5 / 5, 'distill.none': 0., 'distill.constant': 0.})
    assert {name: pull.value for name, pull in pulls.items()} == pytest.approx({
        'distill.two': 6., 'distill.two.loss_a': 22., 'distill.two.loss_b': -16.,
        'distill.one': 10., 'distill.none': 0., 'distill.constant': 2.})
    assert all(p.grad is None for p in [*student, adapter])


def test_batches_are_averaged_before_the_ratio(student):
    adapter = torch.tensor(0., requires_grad=True)
    pulls = measure_pulls((linear_losses(student, adapter, scale) for scale in (1., 3.)), student)
    assert pulls['distill.two'].ratio == pytest.approx((6 + 6) / (5 + 15))


def test_agrees_with_backward_on_a_network():
    torch.manual_seed(0)
    student, adapter = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    data = torch.randn(5, 3)

    def losses():
        hidden = student(data).tanh()
        return {'decode.loss_ce': hidden.square().mean(), 'distill.a.loss_a': 0.1 * adapter(hidden).exp().mean()}

    norms = []
    for name in losses():
        student.zero_grad()
        losses()[name].backward()
        norms.append(torch.cat([p.grad.flatten() for p in student.parameters()]).norm())
    pull = measure_pulls([losses()], list(student.parameters()))['distill.a']
    assert pull.ratio == pytest.approx((norms[1] / norms[0]).item())
    balanced = balanced_weight(0.1, [pull.ratio])
    assert pull.ratio * balanced / 0.1 == pytest.approx(1.)


def test_without_a_mask_loss_there_is_no_ratio(student):
    with pytest.raises(ValueError, match='send no gradient'):
        measure_pulls([{'distill.a.loss': student[0] * 2}], student)


def test_weight_of_a_loss_that_does_not_pull():
    assert balanced_weight(2., [4.]) == 0.5
    assert balanced_weight(2., [0.5, 8.]) == pytest.approx(1.)
    assert math.isnan(balanced_weight(2., [0., 1.])) and math.isnan(balanced_weight(0., [0.]))


def test_every_loss_and_several_terms_are_entries():
    assert list(group_losses(['decode.loss_a', 'decode.loss_b', 'distill.x.loss', 'other.loss'])) == [
        'decode', 'distill.x']
