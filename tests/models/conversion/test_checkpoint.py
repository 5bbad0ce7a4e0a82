"""Reading published checkpoints: what is accepted, what is recognised, and one clear error for the rest."""
from __future__ import annotations

import argparse
import os
import pickle

import pytest
import torch
from published_checkpoints import random_lavt, random_swin

from mmseg_ris_kd.models.conversion import read_published, recognise


class Code:
    """An object that would run a command when it is read."""

    def __reduce__(self):
        return os.system, ('false', )


@pytest.mark.parametrize('zipped', [True, False])
def test_tensors_and_training_arguments(tmp_path, zipped):
    checkpoint = dict(random_lavt(), args=argparse.Namespace(lr=5e-5, mha='4-4-4-4'))
    torch.save(checkpoint, tmp_path / 'lavt.pth', _use_new_zipfile_serialization=zipped)
    read = read_published(tmp_path / 'lavt.pth')
    assert all(torch.equal(read['model'][name], value) for name, value in checkpoint['model'].items())
    model = recognise(read)
    assert model.kind == 'lavt' and model.architecture['fusion_heads'] == [4, 4, 4, 4]


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('content, message', [
    (b'', 'cut off'), (b'<html>not found</html>', 'no checkpoint of torch'), (b'access denied', 'no checkpoint'),
    (b'error 404: not found\n', 'no checkpoint'), (bytes(range(256)), 'no checkpoint'),
    (pickle.dumps(dict(model=Code()), protocol=2), 'system.*could run code'),
    (pickle.dumps(dict(model=Code()), protocol=4), 'no checkpoint of torch'),
])
def test_other_files(tmp_path, content, message):
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_published(tmp_path / 'x.pth')
    assert 'x.pth' in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('zipped', [True, False])
def test_truncated_and_absent(tmp_path, zipped):
    torch.save(random_lavt(), tmp_path / 'x.pth', _use_new_zipfile_serialization=zipped)
    (tmp_path / 'x.pth').write_bytes((tmp_path / 'x.pth').read_bytes()[:-2000])
    with pytest.raises(ValueError, match='cut off'):
        read_published(tmp_path / 'x.pth')
    with pytest.raises(FileNotFoundError, match='y.pth'):
        read_published(tmp_path / 'y.pth')


@pytest.mark.parametrize('message', [
    'Weights only load failed. Unsupported global: GLOBAL argparse.Namespace was not an allowed global',
    'Weights only load failed. Unsupported class argparse.Namespace',  # torch 2.1 to 2.3
])
def test_the_words_of_every_torch(tmp_path, monkeypatch, message):
    def load(path, **_):
        assert isinstance(path, str)  # torch 2.1 maps no Path into memory
        raise pickle.UnpicklingError(message)

    monkeypatch.setattr(torch, 'load', load)
    (tmp_path / 'x.pth').touch()
    with pytest.raises(ValueError, match='argparse.Namespace.*newer torch'):
        read_published(tmp_path / 'x.pth')


def test_a_weight_of_unexpected_dimensions_is_named():
    checkpoint = random_lavt()
    checkpoint['model']['backbone.layers.1.downsample.reduction.weight'] = torch.ones(4, 6)
    with pytest.raises(ValueError, match=r'layers.1.downsample.reduction.weight has the unexpected shape \(4, 6\)'):
        recognise(checkpoint).convert()


def test_code_in_a_checkpoint_is_refused_and_named(tmp_path):
    torch.save(dict(model={}, args=Code()), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='system.*could run code'):
        read_published(tmp_path / 'x.pth')
    torch.save([1, 2], tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='holds a list'):
        read_published(tmp_path / 'x.pth')


@pytest.mark.parametrize('checkpoint, message', [
    (dict(state_dict={}), 'state_dict'), (dict(model={'conv1.weight': torch.ones(1)}), 'conv1.weight'), ({}, 'none'),
    (dict(model=[1]), "'model' is not a dict"), (dict(model={1: torch.ones(1)}), "'model' is not a dict"),
    (dict(model=random_lavt()['model']), 'without its BERT'),
    (dict(model={k: v for k, v in random_lavt('lavt_one')['model'].items() if 'classifier' not in k}), 'its decoder'),
    (dict(model={k: v for k, v in random_lavt('lavt_one')['model'].items() if 'fusion' not in k}), 'its fusion'),
    (dict(model={**random_swin(), 'layers.1.blocks.0.attn.relative_position_bias_table': torch.ones(9)}), r'\(9,\)'),
    (dict(model={'patch_embed.proj.weight': torch.ones(1)}), 'a swin without layers.0'),
])
def test_other_models(checkpoint, message):
    with pytest.raises(ValueError, match=message):
        recognise(checkpoint)
