from __future__ import annotations

import pytest
from mmengine.logging import MessageHub

from mmseg_ris_kd.models.losses import FitNetLoss, WeightSchedule


def test_warm_up_and_decay():
    schedule = WeightSchedule(warm_up=0.2, decay_from=0.6, end=0.5)
    assert [schedule.at(progress) for progress in (0., 0.1, 0.2, 0.6, 0.8, 1.)] == pytest.approx(
        [0., 0.5, 1., 1., 0.75, 0.5])


def test_constant_by_default():
    assert [WeightSchedule().at(progress) for progress in (0., 0.5, 1.)] == [1., 1., 1.]


@pytest.mark.parametrize('arguments', [dict(warm_up=-0.1), dict(warm_up=0.5, decay_from=0.4), dict(decay_from=2.),
                                       dict(end=-1.)])
def test_invalid(arguments):
    with pytest.raises(ValueError, match='shares of the training'):
        WeightSchedule(**arguments)


def test_follows_the_runner(make):
    """A loss in a training of 10 iterations: the runner's hub says which one it is."""
    hub = MessageHub.get_instance('test_follows_the_runner')
    loss = FitNetLoss(schedule=dict(warm_up=0.5))
    record, other = make(seed=1), make(seed=2)
    loss.connect(make.channels(record), make.channels(other))
    assert MessageHub.get_current_instance() is hub
    hub.update_info('max_iters', 10)
    values = []
    for iteration in (0, 2, 5, 9):
        hub.update_info('iter', iteration)
        values.append(float(loss(record, other)['loss_fitnet']))
    full = values[-1]
    assert full > 0 and values == pytest.approx([0., 0.4 * full, full, full])
