"""The optimizer constructor: groups, frozen parameters, mistakes in the config (of LAVT: tests/test_lavt_recipe.py)."""
from __future__ import annotations

import pytest
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmseg_ris_kd.engine.optimizers import RISOptimWrapperConstructor

ADAMW = dict(type='AdamW', lr=0.1, weight_decay=0.01)


def make_model():
    model = nn.Module()
    model.body = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 3))
    model.head = nn.Linear(3, 1)
    model.body[0].requires_grad_(False)
    return model


def build(model, custom_keys=None, optimizer=ADAMW):
    paramwise_cfg = None if custom_keys is None else dict(custom_keys=custom_keys)
    return RISOptimWrapperConstructor(dict(optimizer=dict(optimizer)), paramwise_cfg)(model).optimizer


def settings_of(model, optimizer):
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: (group['lr'], group['weight_decay'])
            for group in optimizer.param_groups for parameter in group['params']}


def test_is_registered():
    assert OPTIM_WRAPPER_CONSTRUCTORS.get('RISOptimWrapperConstructor') is RISOptimWrapperConstructor


@pytest.mark.parametrize('custom_keys', [None, {}])
def test_frozen_parameters_are_left_out(custom_keys):
    model = make_model()
    optimizer = build(model, custom_keys)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert settings_of(model, optimizer) == {name: (0.1, 0.01) for name in trainable}
    assert len(trainable) == 6 and len(optimizer.param_groups) == 1


def test_the_longest_key_counts_and_equal_settings_share_a_group():
    model = make_model()
    no_decay = dict(decay_mult=0.)
    optimizer = build(model, {'body': dict(lr_mult=0.5), 'body.1': no_decay, 'head.bias': no_decay})
    settings = settings_of(model, optimizer)
    assert settings == {
        'body.1.weight': (0.1, 0.), 'body.1.bias': (0.1, 0.), 'head.bias': (0.1, 0.),
        'body.2.weight': (0.05, 0.01), 'body.2.bias': (0.05, 0.01), 'head.weight': (0.1, 0.01)}
    assert len(optimizer.param_groups) == 3


def test_a_model_wrapped_for_distributed_training():
    wrapper = nn.Module()
    wrapper.module = make_model()
    assert len(settings_of(wrapper.module, build(wrapper, {'head': dict(lr_mult=2.)}))) == 6


def test_an_optimizer_without_weight_decay():
    model = make_model()
    optimizer = build(model, {'head': dict(lr_mult=0.1)}, dict(type='SGD', lr=1.))
    assert settings_of(model, optimizer)['head.weight'] == (0.1, 0)


def test_building_twice_gives_the_same():
    constructor = RISOptimWrapperConstructor(dict(optimizer=dict(ADAMW)), None)
    first, second = constructor(make_model()).optimizer, constructor(make_model()).optimizer
    assert [len(g['params']) for g in first.param_groups] == [len(g['params']) for g in second.param_groups] == [6]


@pytest.mark.parametrize('paramwise_cfg, message', [
    (dict(custom_keys={'bodi': dict(lr_mult=1.)}), r"\['bodi'\] match no parameter"),
    (dict(custom_keys={'body': dict(lr_mul=1.)}), r"'body'\] has unknown settings \['lr_mul'\].*'lr_mult'"),
    (dict(custom_key={}), r"\['custom_key'\].*DefaultOptimWrapperConstructor"),
    (dict(norm_decay_mult=0.), 'norm_decay_mult'),
])
def test_mistakes_in_the_config(paramwise_cfg, message):
    with pytest.raises(ValueError, match=message):
        RISOptimWrapperConstructor(dict(optimizer=dict(ADAMW)), paramwise_cfg)(make_model())


def test_nothing_trainable():
    with pytest.raises(ValueError, match='no trainable parameter'):
        build(make_model().requires_grad_(False))
