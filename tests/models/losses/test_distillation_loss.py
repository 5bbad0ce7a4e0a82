"""What all distillation losses have in common, checked on every one of them."""
from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_ris_kd  # noqa: F401
from mmseg_ris_kd.models.losses import DistillationLoss

CONFIGS = dict(
    cmkd=dict(type='CMKDLoss', pixel_word={}, channel={}, channel_word={}),
    logit_kd=dict(type='LogitKDLoss'),
    cwd=dict(type='CWDLoss'),
    cwd_logits=dict(type='CWDLoss', feature='logits', stages=(0, )),
    at=dict(type='AttentionTransferLoss'),
    skd=dict(type='SKDPairwiseLoss'),
    ifvd=dict(type='IFVDLoss'),
    dist=dict(type='DISTLoss'),
    ickd=dict(type='ICKDLoss'),
    cirkd=dict(type='CIRKDMiniBatchLoss'),
    mgd=dict(type='MGDLoss'),
    fitnet=dict(type='FitNetLoss'),
)


def build(config, make, **changes):
    init_default_scope('mmseg')
    loss = MODELS.build(dict(config, **changes)).double()
    loss.connect(make.channels(make(seed=1)), make.channels(make(seed=2, channels=(4, 4, 8, 8))))
    return loss.double()


@pytest.fixture
def wide_teacher(make):
    return make(seed=2, channels=(4, 4, 8, 8))


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
def test_scalars_with_gradients_for_the_student_only(config, make):
    loss = build(config, make)
    student = make(seed=1, requires_grad=True)
    teacher = make(seed=2, channels=(4, 4, 8, 8), requires_grad=True)
    terms = loss(student, teacher)
    assert terms and all(name.startswith('loss_') and value.ndim == 0 for name, value in terms.items())
    assert all(torch.isfinite(value) and value > 0 for value in terms.values())
    sum(terms.values()).backward()
    reached, kept = (
        [x for name in ('visual', 'fused', 'decoded') for x in getattr(record, name)] + [record.logits]
        for record in (student, teacher))
    assert any(x.grad is not None and x.grad.abs().sum() > 0 for x in reached)
    assert all(x.requires_grad and x.grad is None for x in kept)
    assert all(p.grad is not None for p in loss.parameters()), 'unused parameters break distributed training'


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
def test_weight_multiplies(config, make, wide_teacher):
    values = []
    for weight in (1., 2.5):
        torch.manual_seed(0)
        loss = build(config, make, loss_weight=weight)
        values.append(sum(loss(make(seed=1), wide_teacher).values()))
    torch.testing.assert_close(2.5 * values[0], values[1])


@pytest.mark.parametrize('config', [config for config in CONFIGS.values() if config['type'] not in (
    'LogitKDLoss', 'DISTLoss', 'MGDLoss') and config.get('feature') != 'logits'], ids=lambda config: config['type'])
def test_stages_are_averaged(config, make):
    """Two stages give the mean of what each gives by itself; MGD, which draws, has a test of its own."""
    def loss_of(*stages):
        parts = {part: dict(stages=stages) for part in config if part != 'type'}
        loss = MODELS.build(dict(config, **parts or dict(stages=stages))).double()
        record = make(seed=1)
        loss.connect(make.channels(record), make.channels(record))
        return loss.double()

    init_default_scope('mmseg')
    ours, theirs = make(seed=1), make(seed=2)
    together, first, second = (loss_of(*stages)(ours, theirs) for stages in ((0, 1), (0, ), (1, )))
    for name, value in together.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
def test_nothing_to_learn_from_oneself(config, make):
    """Student and teacher equal: zero, but for MGD, which never sees the whole feature."""
    if config['type'] == 'MGDLoss':
        pytest.skip('MGD regenerates, it is not zero at equality')
    init_default_scope('mmseg')
    loss = MODELS.build(config).double()
    record = make(seed=3)
    loss.connect(make.channels(record), make.channels(record))
    assert not list(loss.parameters()), 'equal channels need no adapter'
    assert sum(loss(record, record).values()) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
def test_another_grid_of_the_student(config, make, wide_teacher):
    sizes = ((16, 12), (8, 6), (4, 3), (2, 2))
    terms = build(config, make)(make(seed=1, sizes=sizes), wide_teacher)
    assert all(torch.isfinite(value) for value in terms.values())


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(config, make, dtype):
    init_default_scope('mmseg')
    student, teacher = make(seed=1, dtype=torch.float32), make(seed=2, dtype=torch.float32, channels=(4, 4, 8, 8))
    loss = MODELS.build(config)
    loss.connect(make.channels(student), make.channels(teacher))
    halves = [replace(record, logits=record.logits.to(dtype), **{
        name: tuple(x.to(dtype) for x in getattr(record, name)) for name in ('visual', 'fused', 'attention', 'decoded')
    }) for record in (student, teacher)]
    wholes = [replace(record, logits=record.logits.float(), **{
        name: tuple(x.float() for x in getattr(record, name)) for name in ('visual', 'fused', 'attention', 'decoded')
    }) for record in halves]
    values = []
    for records in (halves, wholes):
        torch.manual_seed(0)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            values.append(loss(*records))
    for name, value in values[0].items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, values[1][name])


@pytest.mark.parametrize('name', ['LogitKDLoss', 'CWDLoss', 'DISTLoss', 'CIRKDMiniBatchLoss', 'ChannelRelationLoss',
                                  'ChannelWordRelationLoss', 'PixelWordCorrelationLoss'])
def test_a_temperature_is_positive(name):
    with pytest.raises(ValueError, match=f'{name}: tau must be positive, but got 0'):
        MODELS.build(dict(type=name, tau=0.))


def test_misuse_is_explained(make, wide_teacher):
    init_default_scope('mmseg')
    with pytest.raises(ValueError, match="feature must be one of .*'fuse'"):
        MODELS.build(dict(type='FitNetLoss', feature='fuse'))
    for name in ('ChannelRelationLoss', 'SKDPairwiseLoss', 'FitNetLoss'):
        with pytest.raises(ValueError, match=f"{name}: feature must be one of .*'decoded'.*, but got 'logits'"):
            MODELS.build(dict(type=name, feature='logits', stages=(0, )))
    with pytest.raises(ValueError, match='stages must be different positions'):
        MODELS.build(dict(type='FitNetLoss', stages=(0, 0)))
    with pytest.raises(ValueError, match='FitNetLoss: stages must be different positions.* got 2'):
        MODELS.build(dict(type='FitNetLoss', stages=2))
    with pytest.raises(ValueError, match='loss_weight must not be negative'):
        MODELS.build(dict(type='FitNetLoss', loss_weight=-1.))
    for name in ('FitNetLoss', 'ChannelWordRelationLoss'):
        with pytest.raises(RuntimeError, match=f'{name} maps channels: call connect'):
            MODELS.build(dict(type=name))(make(seed=1), wide_teacher)
    with pytest.raises(ValueError, match="FitNetLoss on 'fused': .* the student hands out 4, of"):
        build(dict(type='FitNetLoss', stages=(4, )), make)
    with pytest.raises(ValueError, match="stage 0 of 'fused', but the student has 0"):
        build(dict(type='AttentionTransferLoss'), make)(replace(make(seed=1), fused=()), wide_teacher)
    with pytest.raises(ValueError, match='not those it was connected to'):
        build(dict(type='FitNetLoss'), make)(make(seed=1), make(seed=2))
    assert issubclass(MODELS.get('CMKDLoss'), DistillationLoss)
