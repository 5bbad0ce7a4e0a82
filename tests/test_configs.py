"""Every config of the repository builds, and the models are as large as they are said to be."""
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS
from mmseg.structures import SegDataSample
from torch.utils.flop_counter import FlopCounterMode

from mmseg_ris_kd.apis import list_configs, load_config

CONFIGS = {path.stem: path for path in list_configs()}
DISTILLATIONS = [name for name in CONFIGS if '_to_' in name]
STUDENTS = {'r18': 'r18_bert-mini', 'r18-nano': 'r18-nano_gru'}  # by their short name in distillations


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def mmacs(function) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function()
    return counter.get_total_flops() / 2e6


@pytest.mark.parametrize('name', CONFIGS)
def test_every_part_builds(name, offline_model):
    config = load_config(str(CONFIGS[name]))
    init_default_scope('mmseg')
    model = MODELS.build(offline_model(config.model))
    wrapper = build_optim_wrapper(model, copy.deepcopy(config.optim_wrapper))
    optimized = sum(p.numel() for group in wrapper.optimizer.param_groups for p in group['params'])
    assert optimized == sum(p.numel() for p in model.parameters() if p.requires_grad)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        DATASETS.build(dict(loader.dataset, lazy_init=True))
        assert DATA_SAMPLERS.get(loader.sampler.type)
    for evaluator in (config.val_evaluator, config.test_evaluator):
        METRICS.build(evaluator)
    for hook in [*config.default_hooks.values(), *config.custom_hooks]:
        HOOKS.build(hook)
    assert config.default_hooks.checkpoint.save_best == 'mIoU'
    assert config.param_scheduler[-1].end == config.train_cfg.max_epochs


def test_teacher_size(build_model):
    teacher = build_model('lavt_swin-b_bert_refcoco')
    assert count(teacher.text_encoder) == pytest.approx(108.89e6, rel=1e-3)
    assert count(teacher.backbone) + count(teacher.decode_head) == pytest.approx(118.85e6, rel=1e-3)
    assert count(teacher) == pytest.approx(227.7e6, rel=1e-3)


def test_teacher_trains_what_lavt_trains(build_model):
    teacher = build_model('lavt_swin-b_bert_refcoco')
    frozen = {name.split('.')[1] if name.startswith('backbone') else '.'.join(name.split('.')[2:5])
              for name, p in teacher.named_parameters() if not p.requires_grad}
    assert {name for name in frozen if name.startswith('encoder')} == {'encoder.layer.10', 'encoder.layer.11'}
    assert 'gates' in frozen and any(name.startswith('embeddings') for name in frozen)
    wrapper = build_optim_wrapper(teacher, load_config('lavt_swin-b_bert_refcoco').optim_wrapper)
    decays = {group['weight_decay']: sum(p.numel() for p in group['params'])
              for group in wrapper.optimizer.param_groups}
    assert set(decays) == {0., 1e-2} and decays[0.] == 258296  # method: 258 296 values do not decay


@pytest.mark.parametrize('name', ['r18_bert-mini_refcoco', 'mobilenetv3_bert-mini_refcoco'])
def test_students_are_an_eighth_of_the_teacher(name, build_model):
    assert count(build_model(name)) <= 227.7e6 / 8


def test_a_further_expression_costs_a_quarter_of_the_first(build_model):
    student = build_model('r18_bert-mini_refcoco').eval()
    image = torch.randn(1, 3, 480, 480)
    visual = student.encode_image(image)
    further = mmacs(lambda: student.decode(visual, ['the man in the red shirt']))
    first = mmacs(lambda: student.extract(image, ['the man in the red shirt']))
    assert further <= first / 4


@pytest.mark.parametrize('name', DISTILLATIONS)
def test_a_distillation_is_the_student_alone_but_for_the_losses(name, build_model):
    """The same student, data and schedule: what a comparison with the student alone needs."""
    config, model = load_config(str(CONFIGS[name])), build_model(name)
    student_name, dataset = name.split('_to_')[1].split('_')
    student = load_config(f'{STUDENTS[student_name]}_{dataset}')
    assert config.model.student == student.model
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'val_evaluator', 'randomness'):
        assert config[key] == student[key], key
    assert model.distill_losses and not any('teacher' in key for key in model.state_dict())


@pytest.mark.parametrize('name', ['cmkd_swinb_to_r18_refcoco', 'cmkd_r18-slim_to_r18-nano_refshapes'])
def test_a_student_has_an_eighth_of_its_teacher(name, offline_model):
    model = offline_model(load_config(name).model)
    sizes = [count(MODELS.build(model[part])) for part in ('student', 'teacher')]
    assert sizes[0] <= sizes[1] / 8


@pytest.mark.parametrize(
    'name', [name for name in CONFIGS if name.endswith('_refshapes') and name not in DISTILLATIONS])
def test_refshapes_models_are_small_enough_for_a_cpu(name, build_model):
    model = build_model(name).eval()
    assert mmacs(lambda: model.extract(torch.randn(1, 3, 96, 96), ['the man in the red shirt'])) <= 60


def test_basenames_are_unique():
    folder = CONFIGS['r18_bert-mini_refcoco'].parents[1]
    names = [path.name for path in folder.rglob('*.py')]
    assert len(names) == len(set(names))


def test_found_by_mmengine():
    assert Config.fromfile(str(CONFIGS['r18_bert-mini_refcoco'])).model.type == 'ReferringSegmentor'
    pytest.importorskip('pkg_resources')
    from mmengine.hub import get_config
    assert get_config('mmseg_ris_kd::r18/r18_bert-mini_refcoco.py').model.type == 'ReferringSegmentor'


def test_student_mask_loss_is_cross_entropy_plus_dice_of_the_foreground(build_model):
    """MMSegmentation's DiceLoss takes a sigmoid of each logit by default, which no argmax fits."""
    head = build_model('r18-slim_bert-tiny_refshapes').decode_head
    logits = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    target = (torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.6).long()
    losses = {loss.loss_name: loss(logits, target, ignore_index=255) for loss in head.loss_decode}
    p = logits.softmax(dim=1)[:, 1]
    dice = 1 - (2 * (p * target).sum((1, 2)) / (p.sum((1, 2)) + target.sum((1, 2)))).mean()
    torch.testing.assert_close(losses['loss_dice'], dice, atol=1e-3, rtol=0)
    torch.testing.assert_close(losses['loss_ce'], torch.nn.functional.cross_entropy(logits, target))


def test_the_example_of_the_docs_builds(tmp_path, offline_model):
    root = CONFIGS['r18_bert-mini_refcoco'].parents[2]
    if not (root / 'docs' / 'models.md').is_file():
        pytest.skip('no docs beside the package')
    example = (root / 'docs' / 'models.md').read_text().split('```python\n')[1].split('```')[0]
    path = tmp_path / 'mine.py'
    path.write_text(example.replace("'r18_bert-mini_refcoco.py'", f"'{CONFIGS['r18_bert-mini_refcoco']}'"))
    model = MODELS.build(offline_model(load_config(str(path)).model)).eval()
    with torch.no_grad():
        assert model.extract(torch.randn(1, 3, 64, 64), ['the man']).logits.shape[:2] == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['lavt_swin-b_bert_refcoco', 'r18_bert-mini_refcoco'])
def test_full_size_forward_and_backward(name, build_model):
    model = build_model(name).train()
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=(torch.rand(1, 480, 480) > 0.7).long()),
        metainfo=dict(expression='the man in the red shirt', img_shape=(480, 480)))
    data = model.data_preprocessor(dict(inputs=[torch.randint(0, 255, (3, 480, 480))], data_samples=[sample]), True)
    losses = model(**data, mode='loss')
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
