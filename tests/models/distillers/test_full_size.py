"""One real training step of the full-size distillation, on real images."""
from __future__ import annotations

import resource

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.runner import save_checkpoint
from mmseg.registry import DATASETS, MODELS

from mmseg_ris_kd.apis import load_config
from mmseg_ris_kd.engine.checkpoint import load_checkpoint_strictly
from mmseg_ris_kd.models.pretrained import inference_model


@pytest.mark.slow
def test_one_step_of_swinb_to_r18(shared_data, offline_model, tmp_path, capsys):
    config = load_config('cmkd_swinb_to_r18_refcoco')
    config.model = offline_model(config.model, str(shared_data / 'vocab' / 'bert-base-uncased-vocab.txt'))
    config.model.update(teacher_ckpt=None, allow_random_teacher=True)
    dataset = DATASETS.build(dict(config.train_dataloader.dataset, data_root=str(shared_data / 'refer'), split='testA'))
    distiller = MODELS.build(config.model)
    distiller.init_weights()
    distiller.train()
    optim_wrapper = build_optim_wrapper(distiller, config.optim_wrapper)
    teacher = {name: value.clone() for name, value in distiller.teacher.model.state_dict().items()}
    student = {name: p.detach().clone() for name, p in distiller.student.named_parameters()}
    losses = distiller.train_step(pseudo_collate([dataset[0], dataset[1]]), optim_wrapper)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        print(f'\nfull-size step on two real images at 480 x 480: the process took at most {peak:.1f} GiB, losses '
              f'{({name: round(float(value), 3) for name, value in losses.items()})}')
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.equal(teacher[name], value) for name, value in distiller.teacher.model.state_dict().items())
    assert any(not torch.equal(student[name], p) for name, p in distiller.student.named_parameters())
    optimized = sum(p.numel() for group in optim_wrapper.optimizer.param_groups for p in group['params'])
    assert optimized == sum(p.numel() for p in distiller.parameters()) < 227.7e6 / 8
    path = tmp_path / 'epoch_1.pth'
    save_checkpoint(dict(state_dict=distiller.state_dict(), meta={}), str(path))
    assert {key.split('.')[0] for key in torch.load(path)['state_dict']} == {'student', 'distill_losses'}
    load_checkpoint_strictly(MODELS.build(inference_model(config.model)), path)
