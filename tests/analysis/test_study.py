from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmseg_ris_kd.analysis import load_study
from mmseg_ris_kd.apis import load_config

STUDIES = sorted((Path(__file__).resolve().parents[2] / 'results').glob('*/*.py'))

STUDY = """
teacher = 'big'
student = 'small'
seeds = (3, 4)
distillations = {
    'cwd': dict(config='cwd', search_key='model.distill_losses.cwd.loss_weight', search_values=(1., 10.)),
    'cwd-one-stage': dict(config='cwd', value_of='cwd', options={'model.distill_losses.cwd.stages': (3, )}),
    'plain': dict(config='plain'),
}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'study.py'
    path.write_text(STUDY)
    return path


def test_every_student_has_every_seed_and_the_teacher_one(path):
    runs = list(load_study(path).baselines())
    assert [(run.method, run.config, run.seed) for run in runs] == [
        ('teacher', 'big', 3), ('student', 'small', 3), ('student', 'small', 4)]


def test_a_search_shares_its_runs_with_the_result(path):
    study = load_study(path)
    search = study.search('cwd')
    assert [(run.seed, dict(run.options)) for run in search] == [
        (3, {'model.distill_losses.cwd.loss_weight': 1.}), (3, {'model.distill_losses.cwd.loss_weight': 10.})]
    final = study.final('cwd', 10.)
    assert final[0] == search[1] and final[1].seed == 4
    assert final[0].folder == 'cwd/loss_weight=10/seed3'


def test_an_ablation_takes_the_value_over(path):
    run = load_study(path).final('cwd-one-stage', 10.)[0]
    assert dict(run.options) == {'model.distill_losses.cwd.loss_weight': 10., 'model.distill_losses.cwd.stages': (3, )}
    assert run.folder == 'cwd-one-stage/loss_weight=10/seed3'
    assert load_study(path).final('plain')[0].folder == 'plain/seed3'


def test_a_budget_for_every_student(path):
    path.write_text(STUDY + "options = {'train_cfg.max_epochs': 4}\n")
    study = load_study(path)
    teacher, *students = study.baselines()
    assert not teacher.options
    for run in [*students, *study.search('cwd'), *study.final('cwd-one-stage', 1.), *study.final('plain')]:
        assert dict(run.options)['train_cfg.max_epochs'] == 4


def test_a_part_of_it(path):
    study = load_study(path, seeds=[7], only=['cwd-one-stage'])
    assert study.seeds == (7, ) and list(study.distillations) == ['cwd', 'cwd-one-stage']


def test_costs_are_those_of_configs_without_options(path):
    assert load_study(path).costs is None
    folder = path.parent / 'cost'
    folder.mkdir()
    step = dict(seconds=1., bytes=8, resident_bytes=4, parameters=5)
    (folder / 'cpu.json').write_text(json.dumps(dict(
        size=96, batch_size=2, device='CPU', torch='2.1',
        steps={name: step for name in ('student alone', 'teacher forward', 'cwd')})))
    path.write_text(STUDY + "cost = 'cost/cpu.json'\n")
    assert list(load_study(path).costs.methods) == ['teacher', 'student', 'cwd']
    assert list(load_study(path, only=['plain']).costs.methods) == ['teacher', 'student', 'cwd']
    (folder / 'cpu.json').unlink()
    with pytest.raises(FileNotFoundError, match='cpu.json'):
        load_study(path)


@pytest.mark.parametrize('change, message', [
    (('teacher', 'techer'), r"lacks \['teacher'\]"),
    (("value_of='cwd'", "value_of='cdw'"), "value_of='cdw' must name a distillation of the study with search_values"),
    (("value_of='cwd'", "value_of='plain'"), "value_of='plain' must name a distillation of the study with"),
    (("value_of='cwd'", "value_of='cwd', search_key='a', search_values=(1, 2)"), 'and this one must have none'),
    (("dict(config='plain')", "'plain'"), r"distillations\['plain'\] needs config .* but is 'plain'"),
    (('(1., 10.)', '(1.)'), 'search_values must be a tuple of numbers, but is 1.0'),
    (('search_key', 'search_kye'), 'search_kye'),
    (('seeds = (3, 4)', 'seeds = (3, 4)\noptoins = dict(a=1)'), r"unknown entries \['optoins'\]"),
    (('seeds = (3, 4)', 'seeds = 3'), 'seeds must be a tuple with at least one item, but is 3'),
    (('seeds = (3, 4)', "seeds = (3, 4)\nmetric = 'miou'"), "metric must be mIoU, .* but is 'miou'"),
    ((", search_values=(1., 10.)", ''), r"distillations\['cwd'\] needs search_key and search_values, or neither"),
    (("'plain'", "'student'"), r"distillations\['student'\] needs another name"),
    (('(1., 10.)', "('a', 'b')"), 'search_values must be a tuple of numbers'),
])
def test_mistakes_are_named(path, change, message):
    path.write_text(STUDY.replace(*change))
    with pytest.raises(ValueError, match=message):
        load_study(path)
    with pytest.raises(FileNotFoundError, match='no study file'):
        load_study('nowhere.py')


def test_distillations_are_named(path):
    path.write_text(STUDY + 'distillations = [*distillations.values()]')
    with pytest.raises(ValueError, match='distillations must be a dict by name'):
        load_study(path)


def test_an_entry_is_looked_at_before_what_refers_to_it(path):
    path.write_text(STUDY + "distillations = dict(a=dict(config='cwd', value_of='b'), b='plain')")
    with pytest.raises(ValueError, match=r"distillations\['b'\] needs config"):
        load_study(path)


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: f'{path.parent.name}-{path.stem}')
def test_the_studies_of_the_repository_name_configs_and_entries_that_exist(path):
    study = load_study(path)
    runs = [*study.baselines(), *(run for name, method in study.distillations.items()
                                  for run in study.search(name) or study.final(name, 1. if method.value_of else None))]
    for run in runs:
        config = load_config(run.config, dict(run.options))
        assert config.model.type == ('ReferringSegmentor' if run.method in ('teacher', 'student')
                                     else 'ReferringDistiller')
    for name, method in study.distillations.items():
        config = load_config(method.config)
        assert config.model.student == load_config(study.student).model
        assert config.model.teacher == load_config(study.teacher).model, name
