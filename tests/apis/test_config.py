"""Configs by path or by name, and overrides that nothing would read."""
from __future__ import annotations

import pytest

from mmseg_ris_kd.apis import find_config, list_configs, load_config

NAME = 'r18_bert-mini_refcoco'


def test_by_name_and_by_path_are_the_same():
    path = find_config(NAME)
    assert path.name == f'{NAME}.py'
    assert find_config(f'{NAME}.py') == path == find_config(f'somewhere/else/{NAME}.py')
    assert find_config(str(path)) == path
    assert load_config(NAME).model == load_config(str(path)).model


def test_unknown_name_suggests_close_ones():
    with pytest.raises(FileNotFoundError, match='r18_bert-mini_refcoc.*\n.*r18_bert-mini_refcoco'):
        find_config('r18_bert-mini_refcoc')


def test_work_dir_follows_the_name(tmp_path):
    assert load_config(NAME).work_dir.endswith(NAME)


def test_overrides_are_merged():
    config = load_config(NAME, {
        'optim_wrapper.optimizer.lr': 1e-3,
        'train_dataloader.dataset.indices': 10,  # an argument that the config does not mention
        'train_dataloader.dataset.pipeline.3.scale': (320, 320),
        'find_unused_parameters': True,
    })
    assert config.optim_wrapper.optimizer.lr == 1e-3
    assert config.train_dataloader.dataset.indices == 10
    assert config.train_dataloader.dataset.pipeline[3].scale == (320, 320)
    assert config.find_unused_parameters


@pytest.mark.parametrize('key, hint', [
    ('optim_wraper.optimizer.lr', "did you mean 'optim_wrapper'"),
    ('train_dataloader.datset.split', "did you mean 'train_dataloader.dataset'"),
    ('train_dataloader.dataset.pipeline.9.scale', 'is a list of 5 items'),
    ('zzz', 'there are'),
])
def test_misspelt_override(key, hint):
    with pytest.raises(ValueError, match=hint):
        load_config(NAME, {key: 1})


def test_misspelt_key_in_a_config(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("train_dataloder = dict(batch_size=2)\nmodel = dict(type='ReferringSegmentor')\n")
    with pytest.raises(ValueError, match="mine.py: unknown key 'train_dataloder'; did you mean 'train_dataloader'"):
        load_config(str(path))


def test_names_are_unique_and_bases_are_no_experiments():
    names = [path.stem for path in list_configs()]
    assert len(set(names)) == len(names) > 8
    assert 'default_runtime' not in names
