"""Configs by path or by name, and overrides that nothing would read."""
from __future__ import annotations

import pytest

from mmseg_ris_kd.apis import find_config, list_configs, load_config
from mmseg_ris_kd.apis.overrides import LOSS_SECTIONS, check_component
from mmseg_ris_kd.models.losses import CMKDLoss, CWDLoss

NAME = 'r18_bert-mini_refcoco'


def test_by_name_and_by_path_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = find_config(NAME)
    assert path.name == f'{NAME}.py'
    assert find_config(f'{NAME}.py') == path == find_config(f'configs/r18/{NAME}.py')
    assert find_config(str(path)) == path
    assert load_config(NAME).model == load_config(str(path)).model


@pytest.mark.parametrize('name', ['r18_bert-mini_refcoc', f'my/edited/copy/{NAME}.py'])
def test_unknown_path_or_name_suggests_close_ones(name):
    with pytest.raises(FileNotFoundError, match=f'no config file.*{name}.*\n(.*\n)*.*{NAME}'):
        find_config(name)


def test_suggestions_come_from_every_family():
    with pytest.raises(FileNotFoundError) as error:
        find_config('lavt_refcoco')
    names = [line.strip() for line in str(error.value).splitlines()[1:]]
    assert names[0] == 'lavt_swin-b_bert_refcoco'
    assert {NAME, 'mobilenetv3_bert-mini_refcoco'} < set(names) < {path.stem for path in list_configs()}


def test_work_dir_follows_the_name(tmp_path):
    assert load_config(NAME).work_dir.endswith(NAME)


def test_a_component_checks_its_own_arguments_those_that_are_dicts_as_well():
    config = load_config('cmkd_swinb_to_r18_refcoco', {'model.distill_losses.cmkd.channel.stages': (2, 3)})
    assert config.model.distill_losses.cmkd.channel.stages == (2, 3)


def test_overrides_that_the_model_reads():
    load_config('cmkd_swinb_to_r18_refcoco', {
        'model.distill_losses.cmkd.channel_word.tau': 0.2,  # a term that the config does not have
        'model.distill_losses.cmkd.schedule.warm_up': 0.1,
        'model.distill_losses.cwd.type': 'CWDLoss',
        'model.distill_losses.cwd.loss_weight': 3.,
        'model.student.backbone.with_cp': True,  # an argument that the config does not mention
        'model.student.backbone.norm_cfg.requires_grad': False,  # read by mmcv, not by the norm
        'model.student.backbone.init_cfg': None,
        'model.student.decode_head.loss_decode.0.loss_weight': 2.,
        'model.teacher_size': (96, 96),
    })
    config = load_config('cmkd_swinb_to_r18_refcoco', {
        'model.distill_losses._delete_': True,
        'model.distill_losses.cwd.type': 'CWDLoss',
        'model.teacher.backbone.init_cfg.type': 'Xavier',  # of another registry
    })
    assert list(config.model.distill_losses) == ['cwd']


@pytest.mark.parametrize('name', ['cmkd_swinb_to_r18_refcoco', 'mobilenetv3_bert-mini_refcoco'])
def test_whatever_a_config_holds_can_be_overridden(name):
    config = load_config(name)

    def keys(node, prefix):
        items = node.items() if hasattr(node, 'keys') else enumerate(node) if isinstance(node, list) else ()
        return [prefix, *(key for name, child in items for key in keys(child, f'{prefix}.{name}'))]

    for key in keys(config.model, 'model'):
        check_component(config, key, 'here')


def test_sections_of_a_loss_hold_the_arguments_of_what_it_builds():
    for (loss, section), reader in LOSS_SECTIONS.items():
        if loss is CMKDLoss:
            built, = CMKDLoss(**dict(dict(pixel_word=None, channel=None), **{section: {}})).losses
        else:
            built = getattr(CWDLoss(**{section: dict(end=0.5)}), section)
        assert type(built) is reader


def test_overrides_are_merged():
    config = load_config(NAME, {
        'optim_wrapper.optimizer.lr': 1e-3,
        'train_dataloader.dataset.indices': 10,  # an argument that the config does not mention
        'train_dataloader.dataset.pipeline.3.scale': (320, 320),
        'find_unused_parameters': True,
        'randomness.deterministic': True,
        'env_cfg.cudnn_benchmark': False,
        'val_dataloader.prefetch_factor': 4,
        'train_cfg.val_begin': 3,
        'default_hooks.runtime.type': 'RuntimeInfoHook',
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
    ('data_root', 'nothing reads'),  # a variable of the config, long expanded into the datasets
    ('max_epochs', 'nothing reads'),
    ('randomness.sed', "did you mean 'randomness.seed'"),
    ('train_cfg.max_epoch', "did you mean 'train_cfg.max_epochs'"),
    ('train_cfg.val_beginn', "did you mean 'train_cfg.val_begin'"),  # an argument of the loop, not in the config
    ('test_cfg.fp6', "did you mean 'test_cfg.fp16'"),
])
def test_misspelt_override(key, hint):
    with pytest.raises(ValueError, match=hint):
        load_config(NAME, {key: 1})


@pytest.mark.parametrize('key, meant', [
    ('train_dataloder', 'train_dataloader'), ('optim_wraper', 'optim_wrapper'), ('randomnes', 'randomness'),
    ('custom_hook', 'custom_hooks')])
def test_misspelt_key_in_a_config_that_inherits(key, meant, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{find_config(NAME)}'\n{key} = dict()\n")
    with pytest.raises(ValueError, match=f"mine.py has the unknown key '{key}'.*did you mean '{meant}'"):
        load_config(str(path))


def test_broken_config_names_the_file(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text('model = dict(\n')
    with pytest.raises(ValueError, match='mine.py.*is not valid Python'):
        load_config(str(path))


def test_names_are_unique_and_bases_are_no_experiments():
    names = [path.stem for path in list_configs()]
    assert len(set(names)) == len(names) > 8
    assert 'default_runtime' not in names
