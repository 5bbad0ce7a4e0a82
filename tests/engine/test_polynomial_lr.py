"""PolynomialLR against torch's."""
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from mmseg_ris_kd.engine.optimizers import PolynomialLR


def learning_rates(scheduler, steps=12):
    rates = []
    for _ in range(steps):
        rates.append(scheduler.optimizer.param_groups[0]['lr'])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def sgd():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)


@pytest.mark.parametrize('power', [0.9, 2.])
def test_equals_torch(power):
    ours = learning_rates(PolynomialLR(sgd(), power, end=12, by_epoch=False))
    expected = learning_rates(torch.optim.lr_scheduler.PolynomialLR(sgd(), 12, power))
    assert ours == pytest.approx(expected, rel=1e-9) and ours[-1] > 0


def test_from_a_config_in_epochs_and_after_a_resume():
    config = dict(type='PolynomialLR', power=0.9, begin=0, end=4, by_epoch=True, convert_to_iter_based=True)
    scheduler = PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=sgd(), epoch_length=3))
    assert isinstance(scheduler, PolynomialLR)
    expected = learning_rates(PolynomialLR(sgd(), 0.9, end=12, by_epoch=False))
    first = learning_rates(scheduler, 5)
    again = PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=sgd(), epoch_length=3))
    again.optimizer.load_state_dict(scheduler.optimizer.state_dict())
    again.load_state_dict(scheduler.state_dict())
    assert [*first, *learning_rates(again, 7)] == pytest.approx(expected)
