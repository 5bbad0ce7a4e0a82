"""configs/lavt against the published recipe: what is trained, with which learning rates and decay."""
from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmseg.registry import MODELS

from mmseg_ris_kd.apis import load_config
from mmseg_ris_kd.models.conversion import lavt_entries

CONFIGS = ['lavt_swin-b_bert_refcoco', 'lavt_swin-b_bert_refcocoplus', 'lavt_swin-b_bert_refcocog']
ITERATIONS = 1325  # per epoch of RefCOCO with batches of 32


@pytest.fixture(params=CONFIGS)
def config(request):
    return load_config(request.param)


@pytest.fixture(scope='module')
def model_and_optimizer(offline_model):
    init_default_scope('mmseg')
    config = load_config(CONFIGS[0])
    model = MODELS.build(offline_model(config.model))
    return model, build_optim_wrapper(model, config.optim_wrapper).optimizer


@pytest.mark.parametrize('variant', ['lavt', 'lavt_one'])
def test_optimizer_groups(model_and_optimizer, variant, shared_data):
    """All but the last gate, which the published optimizer holds and never updates, and which is frozen here."""
    model, optimizer = model_and_optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    names = {parameter: name for name, parameter in model.named_parameters()}
    settings = {names[parameter]: (group['lr'], group['weight_decay'], group['betas'], group['eps'])
                for group in optimizer.param_groups for parameter in group['params']}

    folder = shared_data / 'goldens'
    expected = json.loads((folder / 'lavt_optim.json').read_text())
    hyper, expected = expected['hyper'], expected[variant]
    groups = json.loads(gzip.decompress((folder / 'lavt_optim.keys.json.gz').read_bytes()))[variant]
    groups = [[name.replace('bert:', 'text_encoder.') for name in group] for group in groups]
    excluded = [name.replace('bert:', 'text_encoder.') for name in expected['not_in_optimizer']]
    ours = {entry.published: entry.name for entry in lavt_entries(dict.fromkeys(sum(groups, excluded)))}
    wanted = {ours[name]: (group['lr'], group['weight_decay'], tuple(hyper['betas']), hyper['eps'])
              for group, members in zip(expected['groups'], groups) for name in members}
    last_gate = {'backbone.gates.3.0.weight', 'backbone.gates.3.2.weight'}
    assert last_gate <= set(wanted)
    assert settings == {name: value for name, value in wanted.items() if name not in last_gate}
    assert not {ours[name] for name in excluded} & set(settings)

    counts = {group['weight_decay']: (len(group['params']), sum(p.numel() for p in group['params']))
              for group in optimizer.param_groups}
    last_gate_size = 2 * 1024 * 1024
    assert counts == {0.: (136, 258296),
                      0.01: (253 + 20 + 160 - 2, 97938560 + 20651010 + 70878720 - last_gate_size)}


def test_learning_rate_of_every_iteration(config, shared_data):
    folder = shared_data / 'goldens'
    expected = json.loads((folder / 'lavt_optim.json').read_text())
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.optim_wrapper.optimizer.lr)
    schedule, = config.param_scheduler
    scheduler = PARAM_SCHEDULERS.build(schedule, default_args=dict(optimizer=optimizer, epoch_length=ITERATIONS))
    rates = []
    for _ in range(config.train_cfg.max_epochs * ITERATIONS):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    assert len(rates) == expected['total_iterations']
    assert expected['hyper']['schedule'].endswith('lr * (1 - it/(1325*40))**0.9')
    closed_form = 5e-5 * (1 - np.arange(len(rates)) / (1325 * 40))**0.9
    np.testing.assert_allclose(rates, closed_form, rtol=1e-7)
    for iteration, rate in expected['lr_at_iteration'].items():
        if int(iteration) < len(rates):  # none after the last update
            assert rates[int(iteration)] == pytest.approx(rate, rel=1e-7), iteration
    first = np.load(folder / 'lavt_optim.npz')['lr_first_102']
    np.testing.assert_allclose(rates[:len(first)], first, rtol=1e-9)


def test_batch_expressions_and_what_the_datasets_share(config):
    """32 refs per iteration (the configs count four processes), one expression of each at random; no clipping."""
    loader = config.train_dataloader
    assert 4 * loader.batch_size == config.auto_scale_lr.base_batch_size == 32 and loader.drop_last
    steps = [step['type'] for step in loader.dataset.pipeline]
    assert steps == ['LoadReferringImage', 'LoadReferringMask', 'SampleExpression', 'Resize', 'PackReferringInputs']
    assert config.optim_wrapper.get('clip_grad') is None
    first = load_config(CONFIGS[0])
    assert config.model == first.model and config.optim_wrapper == first.optim_wrapper
    assert config.model.decode_head.loss_decode.class_weight == [0.9, 1.1]
