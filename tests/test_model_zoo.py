"""The model zoo: metafiles and pages list every config, and their numbers are the models' and the results'."""
from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest
import torch
import yaml
from mmseg.registry import MODELS

from mmseg_ris_kd.apis import inference_model, list_configs, load_config
from mmseg_ris_kd.engine.cost import EXPRESSION, count_macs, count_parameters
from mmseg_ris_kd.evaluation.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[1]
METAFILES = [ROOT / path for path in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']]
FAMILIES = {path.parent.name: yaml.safe_load(path.read_text()) for path in METAFILES}
ZOO = {model['Name']: model for family in FAMILIES.values() for model in family['Models']}
RESULTS = [pytest.param(name, result, id=f'{name}-{result["Dataset"]}')
           for name, model in ZOO.items() for result in model.get('Results', [])]
FROM_FILES = [case for case in RESULTS if '://' not in case.values[1]['Source']]
PUBLISHED, OURS = ' (published)', ' (ours)'  # in metafiles, as MIM reads them, ours is the plain name of a metric


@pytest.fixture(scope='module')
def cost(offline_model):
    """``cost(name, size)``: parameters and FLOPs of a config's model at inference, counted once for equal models."""
    known = {}

    @torch.no_grad()
    def count(name: str, size: int) -> tuple[int, int]:
        config = offline_model(inference_model(load_config(name).model))
        key = repr(config), size
        if key not in known:
            model = MODELS.build(config).eval()
            macs = count_macs(lambda: model.extract(torch.zeros(1, 3, size, size), [EXPRESSION]))
            known[key] = count_parameters(model), 2 * macs
        return known[key]

    return count


def test_every_config_is_in_the_metafile_of_its_family():
    paths = [model['Config'] for family in FAMILIES.values() for model in family['Models']]
    assert sorted(paths) == sorted(f'configs/{path.parent.name}/{path.name}' for path in list_configs())
    for folder, family in FAMILIES.items():
        collection, = family['Collections']
        assert (ROOT / 'configs' / folder / collection['README']).is_file()
        for model in family['Models']:
            assert model['Config'] == f'configs/{folder}/{model["Name"]}.py'
            assert model['In Collection'] == collection['Name']


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[pytest.mark.slow] if name.startswith('lavt_swin-b') else []) for name in ZOO])
def test_parameters_and_flops_are_those_of_the_model(name, cost):
    metadata = ZOO[name]['Metadata']
    size = 96 if name.endswith('_refshapes') else 480
    assert metadata['FLOPs at'] == f'{size} x {size}'
    assert (metadata['Parameters'], metadata['FLOPs']) == cost(name, size)


@pytest.mark.parametrize('folder', FAMILIES)
def test_a_page_shows_its_metafile(folder):
    expected = {}
    for model in FAMILIES[folder]['Models']:
        name, metadata = model['Name'], model['Metadata']
        for result in model.get('Results', [dict(Dataset=metadata['Training Data'], Metrics={})]):
            row = name, result['Dataset']
            expected[(*row, 'parameters (M)')] = f'{metadata["Parameters"] / 1e6:.4g}'
            expected[(*row, f'GMAC at {metadata["FLOPs at"]}')] = f'{metadata["FLOPs"] / 2e9:.3g}'
            for metric, value in result['Metrics'].items():
                column = metric if metric.endswith(PUBLISHED) else metric + OURS
                expected[(*row, column)] = f'{value:.2f}'
    assert read_tables((ROOT / 'configs' / folder / 'README.md').read_text()) == expected


def read_tables(page: str) -> dict[tuple[str, str, str], str]:
    """What the tables of a page say, by config, dataset and column; '-' says nothing."""
    shown = {}
    for table in re.findall(r'(?:^\|.*\n)+', page, re.MULTILINE):
        header, _, *rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in table.splitlines()]
        assert header[:2] == ['config', 'dataset']
        for link, dataset, *cells in rows:
            name, path = re.fullmatch(r'\[(.+)\]\((.+)\)', link).groups()
            assert path == f'{name}.py' and len(cells) == len(header) - 2
            for column, cell in zip(header[2:], cells):
                assert (name, dataset, column) not in shown
                if cell != '-':
                    shown[name, dataset, column] = cell
    return shown


@pytest.mark.parametrize(('name', 'result'), RESULTS)
def test_a_result_is_either_published_or_ours(name, result):
    """A published one says so in every metric's name, which MIM keeps, and links the page where it stands."""
    published = '://' in result['Source']
    assert all(metric.endswith(PUBLISHED) == published for metric in result['Metrics'])
    assert {metric.replace(PUBLISHED, '') for metric in result['Metrics']} >= {'mIoU', 'oIoU'}
    assert result['Task'] == 'Referring Image Segmentation' and result['Protocol'] in PROTOCOLS


@pytest.mark.parametrize(('name', 'result'), FROM_FILES)
def test_a_result_of_ours_is_the_mean_over_the_seeds_of_its_source(name, result):
    split = result['Dataset'].split()[-1]
    methods = ('teacher', 'student', name.split('_')[0])  # ablations have the same config, but their own names
    rows = [row for row in json.loads((ROOT / result['Source']).read_text())
            if (row['config'], row['split']) == (name, split) and row['method'] in methods]
    assert rows, f'{result["Source"]} has no row of {name} on {split}'
    for metric, value in result['Metrics'].items():
        assert f'{value:.2f}' == f'{statistics.fmean(row[metric] for row in rows):.2f}', metric


def test_published_results_of_lavt():
    """All that its authors' README has, but for RefCOCOg's Google partition, on which no config trains."""
    published = {case.id for case in RESULTS if case not in FROM_FILES}
    splits = dict(refcoco='RefCOCO', refcocoplus='RefCOCO+', refcocog='RefCOCOg')
    assert published == {f'lavt_swin-b_bert_{name}-{dataset} {split}' for name, dataset in splits.items()
                         for split in (('val', 'test') if name == 'refcocog' else ('val', 'testA', 'testB'))}
