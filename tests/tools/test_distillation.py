"""Distilling through the command line: train, resume, several processes, test, export, compare."""
from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_ris_kd.apis import load_config

pytestmark = pytest.mark.slow

TEACHER = """
_base_ = '{small_config}'
model = dict(
    backbone=dict(
        _delete_=True, type='LanguageAwareSwin', text_channels=128, embed_dims=8, depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2), window_size=4),
    decode_head=dict(_delete_=True, type='LAVTHead', in_channels=(8, 16, 32, 64)),
)
train_cfg = dict(max_epochs=1)
"""
DISTILLATION = """
_base_ = '{small_config}'
student = _base_.model
teacher = {teacher}
model = dict(
    _delete_=True, type='ReferringDistiller', student=student, teacher=teacher, teacher_ckpt='{teacher_ckpt}',
    distill_losses=dict(
        cmkd=dict(type='CMKDLoss', pixel_word=dict(), channel=dict()),
        kd=dict(type='LogitKDLoss', schedule=dict(warm_up=0.5))))
train_cfg = dict(max_epochs=2)
"""


@pytest.fixture(scope='module')
def teacher_config(small_config, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('teacher') / 'teacher.py'
    path.write_text(TEACHER.format(small_config=small_config))
    return path


@pytest.fixture(scope='module')
def teacher_ckpt(teacher_config) -> Path:
    """A teacher whose weights are random: what it teaches is beside the point here."""
    init_default_scope('mmseg')
    torch.manual_seed(3)
    model = MODELS.build(load_config(str(teacher_config)).model)
    model.init_weights()
    path = teacher_config.parent / 'teacher.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.fixture(scope='module')
def config(small_config, teacher_config, teacher_ckpt) -> Path:
    path = teacher_config.parent / 'cmkd.py'
    path.write_text(DISTILLATION.format(small_config=small_config, teacher_ckpt=teacher_ckpt,
                                        teacher=load_config(str(teacher_config)).model.to_dict()))
    return path


@pytest.fixture(scope='module')
def trained(config, run_tool, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('distilled')
    run_tool('train.py', config, '--work-dir', work_dir)
    return work_dir


def weights(path: Path) -> dict:
    return torch.load(path, map_location='cpu')['state_dict']


def scalars(work_dir: Path) -> list[dict]:
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_checkpoints_hold_student_and_adapters_only(trained):
    keys = set(weights(trained / 'epoch_2.pth'))
    assert {key.split('.')[0] for key in keys} == {'student', 'distill_losses'}
    assert any('adapters' in key for key in keys)
    assert [record['step'] for record in scalars(trained) if 'mIoU' in record] == [1, 2]


def test_resumed_equals_uninterrupted(trained, config, run_tool, tmp_path):
    shutil.copy(trained / 'epoch_1.pth', tmp_path)
    run_tool('train.py', config, '--work-dir', tmp_path, '--resume')
    resumed = weights(tmp_path / 'epoch_2.pth')
    assert all(torch.equal(resumed[key], value) for key, value in weights(trained / 'epoch_2.pth').items())


def test_tested_and_exported_without_the_teacher(trained, config, small_config, teacher_ckpt, run_tool, tmp_path):
    """The distillation's checkpoint, and the student's file in the student's own config: the same metrics."""
    student = tmp_path / 'student.pth'
    hidden = teacher_ckpt.rename(teacher_ckpt.with_suffix('.hidden'))
    try:
        run_tool('test.py', config, trained / 'epoch_2.pth', '--work-dir', tmp_path / 'distilled')
        done = run_tool('model_converters/export_student.py', config, trained / 'epoch_2.pth', student,
                        '--student-config', small_config)
    finally:
        hidden.rename(teacher_ckpt)
    assert 'largest difference of a logit' in done.stdout and 'parameters' in done.stdout
    run_tool('test.py', small_config, student, '--work-dir', tmp_path / 'plain')
    results = [json.loads((tmp_path / name / 'metrics.json').read_text())['metrics'] for name in ('distilled', 'plain')]
    assert results[0] == results[1]
    assert not any(key.startswith(('student', 'distill')) for key in weights(student))


def test_a_moving_average_of_the_student_is_what_is_exported(config, run_tool, tmp_path):
    averaged = tmp_path / 'averaged.py'
    averaged.write_text(f"_base_ = '{config}'\ntrain_cfg = dict(max_epochs=1)\n"
                        "custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=0.5)]\n")
    run_tool('train.py', averaged, '--work-dir', tmp_path / 'run')
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth', map_location='cpu')
    names = {key.removeprefix('module.').split('.')[0]
             for part in ('state_dict', 'ema_state_dict') for key in checkpoint[part]}
    assert names - {'steps'} == {'student', 'distill_losses'}  # and no teacher
    run_tool('model_converters/export_student.py', averaged, tmp_path / 'run/epoch_1.pth', tmp_path / 'student.pth')
    exported = weights(tmp_path / 'student.pth')
    assert all(torch.equal(value, checkpoint['state_dict'][f'student.{key}']) for key, value in exported.items())
    trained = checkpoint['ema_state_dict']
    assert any(not torch.equal(value, trained[f'module.student.{key}']) for key, value in exported.items())


def test_export_refuses_what_does_not_fit(trained, config, teacher_config, small_config, run_tool, tmp_path):
    out = tmp_path / 'student.pth'
    done = run_tool('model_converters/export_student.py', config, trained, out, '--student-config', teacher_config,
                    check=False)
    assert done.returncode == 1 and f'--student-config {teacher_config} is another model' in done.stderr
    assert 'Traceback' not in done.stderr
    done = run_tool('model_converters/export_student.py', small_config, trained, out, check=False)
    assert done.returncode == 1 and 'is no distillation' in done.stderr
    assert not list(tmp_path.iterdir())


def test_two_processes_equal_one(trained, config, run_tool, tmp_path):
    """Losses are means over images, so two halves of a batch are the batch. SGD: AdamW turns rounding into steps."""
    before = weights(trained / 'epoch_2.pth')
    sgd = tmp_path / 'sgd.py'
    sgd.write_text(f"_base_ = '{config}'\nload_from = '{trained}/epoch_2.pth'\nparam_scheduler = []\n"
                   "train_cfg = dict(max_epochs=1)\n"
                   "optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))\n")
    run_tool('train.py', sgd, '--work-dir', tmp_path / 'one')
    run_tool('dist_train.sh', sgd, 2, '--work-dir', tmp_path / 'two', '--cfg-options', 'train_dataloader.batch_size=4',
             env=dict(MASTER_PORT=str(28500 + os.getpid() % 500)))
    updates = []
    for name in ('one', 'two'):
        after = weights(tmp_path / name / 'epoch_1.pth')
        updates.append(torch.cat([(after[key] - value).flatten() for key, value in before.items()
                                  if value.is_floating_point() and '.running_' not in key]))
    assert updates[0].norm() > 0.1
    assert (updates[0] - updates[1]).norm() < 1e-3 * updates[0].norm()


def test_a_missing_teacher_is_one_error(config, run_tool, tmp_path):
    done = run_tool('train.py', config, '--work-dir', tmp_path, '--cfg-options', 'model.teacher_ckpt=nowhere.pth',
                    check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert "'nowhere.pth'" in done.stderr and 'Train the teacher first' in done.stderr


STUDY = """
teacher = '{teacher}'
student = '{student}'
seeds = (0, 1)
splits = ('val', 'testA')
distillations = {{
    'kd': dict(config='{config}', search_key='model.distill_losses.kd.loss_weight', search_values=(0.5, 2.0)),
    'kd-guided-off': dict(config='{config}', value_of='kd',
                          options={{'model.distill_losses.cmkd.channel.guided': False}}),
}}
"""


def test_a_comparison_from_the_study_to_the_table(teacher_config, small_config, config, run_tool, tmp_path):
    study, work_dir = tmp_path / 'study.py', tmp_path / 'runs'
    study.write_text(STUDY.format(teacher=teacher_config, student=small_config, config=config))
    common = ['analysis_tools/compare_distillation.py', study, '--work-dir', work_dir, '--cfg-options',
              'train_cfg.max_epochs=1']
    planned = run_tool(*common, '--dry-run').stdout
    for name in ('teacher/seed0', 'student/seed1', 'kd/loss_weight=2/seed0'):
        assert f'{work_dir}/{name}: ' in planned
    assert not work_dir.exists()
    done = run_tool(*common, '--jobs', 2)
    assert 'kd/loss_weight=0.5/seed0: val mIoU' in done.stdout
    rows = json.loads((work_dir / 'distillation.json').read_text())
    assert {(row['method'], row['split'], row['seed']) for row in rows} == {
        ('teacher', split, 0) for split in ('val', 'testA')
    } | {(method, split, seed) for method in ('student', 'kd', 'kd-guided-off') for split in ('val', 'testA')
         for seed in (0, 1)}
    assert all({'mIoU', 'oIoU', 'Pr@0.5', 'commit'} <= set(row) for row in rows)
    chosen = {row['options']['model.distill_losses.kd.loss_weight'] for row in rows if row['method'].startswith('kd')}
    searched = {value: json.loads((work_dir / f'kd/loss_weight={value:g}/seed0/metrics.json').read_text())
                ['metrics']['val']['mIoU'] for value in (0.5, 2.0)}
    assert chosen == {max(searched, key=searched.get)}
    assert all(row['options']['train_cfg.max_epochs'] == 1 for row in rows)
    assert 'kd-guided-off' in (work_dir / 'distillation.md').read_text() and (work_dir / 'distillation.png').is_file()
    again = run_tool(*common).stdout
    assert 'min left' not in again and '1 runs, 1 of them finished before' in again

    unfinished = rows[-1]
    value = f'loss_weight={unfinished["options"]["model.distill_losses.kd.loss_weight"]:g}'
    (work_dir / 'kd-guided-off' / value / 'seed1' / 'metrics.json').unlink()
    (work_dir / f'kd/loss_weight={min(searched, key=searched.get):g}/seed0/metrics.json').unlink()
    run_tool(*common, '--finished-only')
    assert json.loads((work_dir / 'distillation.json').read_text()) == [
        row for row in rows if (row['method'], row['seed']) != ('kd-guided-off', 1)]
    assert 'not finished: kd-guided-off (1 of 2 seeds), the search of kd (1 of 2 values)' in (
        work_dir / 'distillation.md').read_text()
    other = run_tool(*common[:-1], 'train_cfg.max_epochs=2', check=False)
    assert other.returncode == 1 and 'holds a run with another options' in other.stderr
    missing = run_tool(*common, '--teacher', tmp_path / 'typo', check=False)
    assert missing.returncode == 1 and "has no results of ['val', 'testA']" in missing.stderr
    assert not (tmp_path / 'typo').exists()


def test_benchmark(config, run_tool, tmp_path):
    done = run_tool('analysis_tools/benchmark_distillation.py', config, '--size', 64, '--batch-size', 2, '--rounds', 1,
                    '--out', tmp_path / 'cost.json', '--cfg-options', 'model.teacher_size=(96,96)')
    report = json.loads((tmp_path / 'cost.json').read_text())
    assert set(report['steps']) == {'student alone', 'teacher forward', 'cmkd'}
    assert all(step['seconds'] > 0 and step['bytes'] > 0 for step in [*report['steps'].values(),
                                                                      *report['relations'].values()])
    alone, teacher, cmkd = (report['steps'][name] for name in ('student alone', 'teacher forward', 'cmkd'))
    # the distilled step keeps the teacher's weights, and AdamW's two moments of student and adapters
    assert teacher['resident_bytes'] >= 4 * teacher['parameters']
    assert cmkd['resident_bytes'] == pytest.approx(
        alone['resident_bytes'] + teacher['resident_bytes'] + 3 * 4 * cmkd['train_only_parameters'], rel=0.01)
    assert report['commit'] and 'benchmark_distillation.py' in report['command']
    assert cmkd['parameters'] == alone['parameters'] != teacher['parameters']
    assert cmkd['train_only_parameters'] > 0 == alone['train_only_parameters'] == teacher['train_only_parameters']
    assert 'x (student + teacher)' in done.stdout and 'channel relation' in done.stdout
    mixed = run_tool('analysis_tools/benchmark_distillation.py', config, 'cmkd_r18-slim_to_r18-nano_refshapes',
                     check=False)
    assert mixed.returncode == 1 and 'has another model.student than' in mixed.stderr


def test_balance(trained, config, small_config, run_tool):
    tool = 'analysis_tools/balance_distillation.py'
    lines = run_tool(tool, config, '--student', trained, '--batches', 1).stdout.splitlines()
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines]
    cells = {row[1]: row for row in rows if row}
    assert set(cells) == {'loss', 'distill.cmkd', 'distill.cmkd.loss_word_first', 'distill.cmkd.loss_word_high',
                          'distill.cmkd.loss_channel', 'distill.kd'}
    assert cells['loss'][4:6] == ['ratio, start', 'ratio, trained']
    for name in ('distill.cmkd', 'distill.kd'):
        start, end, weight, balanced = map(float, cells[name][4:])
        assert weight == 1. and balanced == pytest.approx((start * end)**-0.5, rel=0.06)  # two digits are printed
    assert 'trained' not in run_tool(tool, config, '--batches', 1).stdout
    plain = run_tool(tool, config, small_config, check=False)
    assert plain.returncode == 1 and 'is no distillation' in plain.stderr
    alone = run_tool(tool, config, '--cfg-options', 'model.teacher_ckpt=nowhere.pth', check=False)
    assert alone.returncode == 1 and 'Train the teacher first' in alone.stderr and 'Traceback' not in alone.stderr
