"""What README and docs point to exists: links, pictures, configs, tools."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmseg_ris_kd.apis import list_configs

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
    tool = r'(?:train|test|browse_dataset|model_cost)\.py (?!configs/|CONFIG|--)([\w+-]+)'
    named = re.findall(tool + r"|Inferencer\('([\w+-]+)'", text)
    configs = {path.stem for path in list_configs()}
    assert not {name for pair in named for name in pair if name} - configs


def test_every_row_of_the_model_table_has_configs():
    rows = re.findall(r'^\| `(\S+\*)` \|', (ROOT / 'README.md').read_text(), re.MULTILINE)
    assert len(rows) >= 4
    assert all(list((ROOT / 'configs').glob(f'{row}.py')) for row in rows)


def test_no_placeholder_is_left():
    assert not [name for name, page in zip(NAMES, PAGES) if re.search(r'@[A-Z0-9_]+@', page.read_text())]
