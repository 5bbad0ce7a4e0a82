"""What README and docs point to exists: links, pictures, configs, tools."""
from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_ris_kd.analysis import StudyRunner, load_study
from mmseg_ris_kd.apis import list_configs, load_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md')),
         *sorted((ROOT / 'configs').glob('*/*.md'))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_links_and_pictures_exist(page):
    targets = re.findall(r'\]\(([^)#]+)\)', page.read_text())
    missing = [target for target in targets if '://' not in target and not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize('page', PAGES, ids=NAMES)
def test_tools_and_configs_exist(page):
    text = page.read_text()
    paths = re.findall(r'(?<![\w/])((?:tools|configs)/[\w./+-]+\.(?:py|sh))', text)
    assert not [path for path in paths if not (ROOT / path).is_file()]
    tool = r'(?:train|test|browse_dataset|model_cost)\.py (?!configs/|CONFIG|--|my_)([\w+-]+)'
    named = re.findall(tool + r"|Inferencer\('([\w+-]+)'", text)
    configs = {path.stem for path in list_configs()}
    assert not {name for pair in named for name in pair if name} - configs


def test_every_row_of_the_model_table_has_configs():
    rows = re.findall(r'^\| `(\S+\*)` \|', (ROOT / 'README.md').read_text(), re.MULTILINE)
    assert len(rows) >= 4
    assert all(list((ROOT / 'configs').glob(f'{row}.py')) for row in rows)


def test_no_placeholder_is_left():
    assert not [name for name, page in zip(NAMES, PAGES) if re.search(r'@[A-Z0-9_]+@', page.read_text())]


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """The files of docs/distillation.md, in a folder beside ``configs``."""
    page = (ROOT / 'docs/distillation.md').read_text()
    blocks = re.findall(r'```python\n# (\w+\.py)(?:, continued)?\n(.*?)```', page, re.DOTALL)
    for name, code in blocks:
        with open(tmp_path / name, 'a') as file:
            file.write(code)
    assert {name for name, _ in blocks} == {'my_pair.py', 'my_loss.py', 'my_kd.py', 'my_study.py'}
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop('my_loss', None)
    for name in ('MyLoss', 'WordShareLoss'):
        MODELS._module_dict.pop(name, None)


def test_the_example_of_a_pair_is_built(examples, offline_model):
    model = offline_model(load_config('my_pair.py').model)
    model.update(teacher_ckpt=None, allow_random_teacher=True)
    distiller = MODELS.build(model)
    assert type(distiller.student.backbone).__name__ == 'MobileNetV3'
    assert distiller.teacher_config['backbone']['type'] == 'LanguageAwareSwin'


def test_the_example_of_a_loss_distils(examples, offline_model):
    model = offline_model(load_config('my_kd.py').model)
    model.update(teacher_ckpt=None, allow_random_teacher=True)
    model['distill_losses']['share'] = dict(type='WordShareLoss')
    distiller = MODELS.build(model)
    assert list(distiller.distill_losses) == ['mine', 'share'] and distiller.distill_losses['mine'].power == 2.
    expressions = ['the red circle', 'the circle']
    images = torch.rand(2, 3, 96, 96)
    records = distiller.student.extract(images, expressions), distiller.teacher(images, expressions)
    values = [value for loss in distiller.distill_losses.values() for value in loss(*records).values()]
    assert len(values) == 2 and all(value > 0 for value in values)
    sum(values).backward()


def test_the_example_of_a_study_can_be_run(examples):
    study = load_study('my_study.py')
    StudyRunner(study, examples / 'runs', tools=ROOT / 'tools').check()
    assert [run.label for run in study.search('mine')] == ['loss_weight=0.5', 'loss_weight=1.5']
