"""The order of a study's runs and what is remembered of them, with tools that train nothing."""
from __future__ import annotations

import json

import pytest
import torch

from mmseg_ris_kd.analysis import StudyRunner, load_study
from mmseg_ris_kd.analysis.study_runner import settings_digest

CONFIG = """
model = dict(type='Nothing', weight=1.)
train_dataloader = dict(batch_size=2)
train_cfg = dict(max_epochs=1)
"""
DISTILLATION = "_base_ = 'small.py'\nmodel = dict(teacher_ckpt=None)\n"
STUDY = """
teacher, student = '{0}/big.py', '{0}/small.py'
seeds = (0, 1)
splits = ('val', )
distillations = dict(
    kd=dict(config='{0}/kd.py', search_key='model.weight', search_values=(1, 2)),
    ablation=dict(config='{0}/kd.py', value_of='kd', options={{'model.without': True}}),
)
"""
TRAIN = """
import sys
from pathlib import Path
folder = Path(sys.argv[sys.argv.index('--work-dir') + 1])
if (folder / 'fail').exists():
    sys.exit('out of coffee')
(folder / 'trained').write_text(' '.join(sys.argv))
"""
TEST = """  # what is trained with weight 2 is the best, the ablation the worst
import json, sys
from pathlib import Path
folder = Path(sys.argv[sys.argv.index('--work-dir') + 1])
score = 50 * ('model.weight=2' in sys.argv) - 7 * ('model.without=True' in sys.argv)
metrics = {split: dict(mIoU=score) for split in sys.argv[sys.argv.index('--split') + 1:]}
(folder / 'metrics.json').write_text(json.dumps(dict(protocol='ours', metrics=metrics)))
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in {'big.py': CONFIG, 'small.py': CONFIG, 'kd.py': DISTILLATION, 'train.py': TRAIN, 'test.py': TEST,
                       'study.py': STUDY.format(tmp_path)}.items():
        (tmp_path / name).write_text(text)
    teacher = tmp_path / 'teacher'
    teacher.mkdir()
    torch.save(dict(meta=dict(seed=7), state_dict=dict(weight=torch.ones(2))), teacher / 'epoch_1.pth')
    (teacher / 'metrics.json').write_text(json.dumps(dict(protocol='ours', metrics=dict(val=dict(mIoU=90)))))
    return tmp_path


@pytest.fixture
def runner(folder):
    def make():
        return StudyRunner(load_study(folder / 'study.py'), folder / 'runs', tools=folder, teacher=folder / 'teacher',
                           jobs=2)
    return make


def test_the_best_value_is_taken_to_the_other_seeds_and_to_the_ablations(runner, folder):
    runner().run()
    rows, searches = runner().results()
    assert [(row['method'], row['seed'], row['mIoU']) for row in rows] == [
        ('teacher', 7, 90), ('student', 0, 0), ('student', 1, 0), ('kd', 0, 50), ('kd', 1, 50),
        ('ablation', 0, 43), ('ablation', 1, 43)]
    assert searches == [dict(method='kd', value=1, mIoU=0), dict(method='kd', value=2, mIoU=50)]
    assert not (folder / 'runs/kd/weight=1/seed1').exists()
    assert f'model.teacher_ckpt={folder}/teacher' in (folder / 'runs/kd/weight=2/seed1/trained').read_text()


def test_what_is_finished_is_not_run_again_but_a_new_split_is_tested(runner, folder):
    runner().run()
    before = {path: path.stat().st_mtime_ns for path in folder.glob('runs/**/trained')}
    assert len(before) == 7
    runner().run()
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob('runs/**/trained')}
    study = folder / 'study.py'
    study.write_text(study.read_text().replace("('val', )", "('val', 'testA')"))
    with pytest.raises(ValueError, match=r"teacher has no results of \['testA'\]: test it first"):
        runner().check()
    (folder / 'teacher/metrics.json').write_text(json.dumps(dict(
        protocol='ours', metrics=dict(val=dict(mIoU=90), testA=dict(mIoU=90)))))
    runner().run()
    assert {row['split'] for row in runner().results()[0] if row['method'] == 'kd'} == {'val', 'testA'}


@pytest.mark.parametrize('change', [
    'model = dict(weight=3.)', "load_from = 'warm.pth'", "optim_wrapper = dict(type='AmpOptimWrapper')",
    'param_scheduler = []', 'train_cfg = dict(max_epochs=2)', "custom_hooks = [dict(type='EMAHook')]",
    "sync_bn = 'torch'", 'train_dataloader = dict(batch_size=4)',
    'train_dataloader = dict(batch_size=2, drop_last=True)',
    "train_dataloader = dict(batch_size=2, sampler=dict(type='InfiniteSampler'))",
    "train_dataloader = dict(batch_size=2, dataset=dict(split='val'))",
    "default_hooks = dict(checkpoint=dict(save_best='oIoU'))", "val_dataloader = dict(dataset=dict(split='train'))",
    "val_evaluator = dict(protocol='other')", "test_dataloader = dict(dataset=dict(split='train'))",
    "test_evaluator = dict(protocol='other')",
])
def test_another_config_is_an_error(runner, folder, change):
    runner().run()
    (folder / 'small.py').write_text(f'{CONFIG}\n{change}\n')
    settings_digest.cache_clear()
    with pytest.raises(ValueError, match='seed0 holds a run with another settings '):
        runner().results()


def test_a_record_of_an_older_version_is_an_error(runner, folder):
    runner().run()
    path = folder / 'runs/student/seed0/run.json'
    record = json.loads(path.read_text())
    del record['settings']
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match='run.json lacks settings, it is of an older version'):
        runner().results()


def test_another_teacher_is_an_error(runner, folder):
    runner().run()
    before, teacher = runner().results(), folder / 'teacher/epoch_1.pth'
    torch.save(dict(meta=dict(seed=7, time='later'), state_dict=dict(weight=torch.ones(2))), teacher)
    assert runner().results() == before  # the same weights are the same teacher
    torch.save(dict(meta=dict(seed=7), state_dict=dict(weight=torch.zeros(2))), teacher)
    with pytest.raises(ValueError, match=r'kd/weight=1/seed0 holds a run with another teacher '):
        runner().results()


def test_a_failure_shows_the_log_and_is_resumed(runner, folder):
    failing = folder / 'runs/student/seed1'
    failing.mkdir(parents=True)
    (failing / 'fail').touch()
    with pytest.raises(ValueError, match='(?s)train.py.*failed, see .*train.log:\nout of coffee'):
        runner().run()
    (failing / 'fail').unlink()
    record = json.loads((failing / 'run.json').read_text())
    (failing / 'run.json').write_text(json.dumps(dict(record, commit='older')))
    runner().run()
    record = json.loads((failing / 'run.json').read_text())
    assert record['commit'] == 'older, then unknown (no git)' and record['environment'].startswith('torch ')


def test_every_config_is_checked_before_anything_is_trained(runner, folder):
    study = folder / 'study.py'
    study.write_text(study.read_text().replace('model.without', 'train_cgf.without'))
    with pytest.raises(ValueError, match='train_cgf'):
        runner().check()
    assert not (folder / 'runs').exists()


@pytest.mark.parametrize('value', ['dict(stages=(1, ))', '"480"', '"a,b"'])
def test_what_a_command_line_cannot_carry_is_an_error_before_anything_is_trained(runner, folder, value):
    study = folder / 'study.py'
    study.write_text(study.read_text().replace("'model.without': True", f"'model.without': {value}"))
    with pytest.raises(ValueError, match='model.without=.* cannot be given on a command line'):
        runner().check()
    assert not (folder / 'runs').exists()


def test_a_teacher_that_has_moved_is_the_same_teacher(runner, folder):
    runner().run()
    (folder / 'teacher').rename(folder / 'moved')
    moved = StudyRunner(load_study(folder / 'study.py'), folder / 'runs', tools=folder, teacher=folder / 'moved')
    assert len(moved.results()[0]) == 7
