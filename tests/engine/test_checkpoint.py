"""Strict loading, and finding the checkpoint of a run."""
from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from mmseg_ris_kd.apis import best_checkpoint, latest_checkpoint, load_checkpoint_strictly
from mmseg_ris_kd.engine.checkpoint import weights_digest


def network(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


def save(path, model: nn.Module, **meta):
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def test_loads_every_weight_and_buffer(tmp_path):
    source, target = network(), network()
    source[1].running_mean.fill_(3)
    load_checkpoint_strictly(target, save(tmp_path / 'a.pth', source))
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)


def test_looks_through_data_parallel_prefixes(tmp_path):
    source = nn.DataParallel(network())
    load_checkpoint_strictly(network(), save(tmp_path / 'a.pth', source))


@pytest.mark.parametrize('other, message', [
    (nn.Sequential(nn.Conv2d(3, 4, 1)), '5 missing: 1.weight, 1.bias, 1.running_mean and 2 more'),
    (nn.Sequential(*network(), nn.Linear(2, 2)), '2 not in the model: 2.weight, 2.bias'),
    (network(8), r'of another shape: 0.weight \(8, 3, 1, 1\) instead of \(4, 3, 1, 1\)'),
])
def test_another_model_is_an_error_and_nothing_is_loaded(tmp_path, other, message):
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    path = save(tmp_path / 'other.pth', other, experiment_name='lavt_x')
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint_strictly(model, path)
    assert 'other.pth is a checkpoint of another model' in str(error.value) and 'lavt_x' in str(error.value)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())


def test_a_student_alone_is_no_distillation(tmp_path):
    distiller = nn.Module()
    distiller.student = network()
    load_checkpoint_strictly(distiller, save(tmp_path / 'distilled.pth', distiller))
    path = save(tmp_path / 'alone.pth', network(), experiment_name='nano')
    with pytest.raises(ValueError, match='alone.pth: this is a student trained alone .experiment nano.*distillation'):
        load_checkpoint_strictly(distiller, path)
    with pytest.raises(ValueError, match='another model'):
        load_checkpoint_strictly(distiller, save(tmp_path / 'other.pth', network(8)))


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint.*nowhere.pth'):
        load_checkpoint_strictly(network(), tmp_path / 'nowhere.pth')
    path = save(tmp_path / 'cut.pth', network())
    os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(ValueError, match='cut.pth cannot be read as a checkpoint'):
        load_checkpoint_strictly(network(), path)
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='holds a list'):
        load_checkpoint_strictly(network(), tmp_path / 'list.pth')


def test_latest_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    first, second = save(tmp_path / 'epoch_1.pth', network()), save(tmp_path / 'epoch_2.pth', network())
    os.utime(first, (1, 1))
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')  # by name: the folder has moved
    assert latest_checkpoint(tmp_path) == first
    (tmp_path / 'last_checkpoint').write_text('')  # cut off while it was written
    assert latest_checkpoint(tmp_path) == second
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_2.pth')
    assert latest_checkpoint(tmp_path) == second
    os.truncate(second, 10)  # cut off while it was written again
    assert latest_checkpoint(tmp_path) == first


def test_best_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no checkpoint'):
        best_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="no work dir.*nope"):
        best_checkpoint(tmp_path / 'nope')
    last = save(tmp_path / 'epoch_2.pth', network())
    assert best_checkpoint(tmp_path) == last
    best = save(tmp_path / 'best_mIoU_epoch_1.pth', network())
    assert best_checkpoint(tmp_path) == best and best_checkpoint(last) == last


def test_digest_of_the_weights_alone(tmp_path):
    model = network()
    first, again, plain = (tmp_path / name for name in ('first.pth', 'again.pth', 'plain.pth'))
    save(first, model)
    save(again, model, time='later')
    torch.save(dict(reversed(list(model.state_dict().items()))), plain)
    assert weights_digest(first) == weights_digest(again) == weights_digest(plain)
    changes = (
        lambda weights: weights.update({'0.weight': weights['0.weight'].nextafter(torch.tensor(9.))}),
        lambda weights: weights.update({'0.weight': weights['0.weight'].flatten()}),
        lambda weights: weights.update({'0.renamed': weights.pop('0.weight')}),
    )
    for change in changes:
        weights = dict(model.state_dict())
        change(weights)
        torch.save(dict(state_dict=weights), again)
        assert weights_digest(again) != weights_digest(first)
