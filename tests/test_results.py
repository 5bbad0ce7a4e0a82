"""What results/README.md says is what the committed files say."""
from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest

from mmseg_ris_kd.analysis import load_study, markdown_report, summarize
from mmseg_ris_kd.analysis.study_runner import settings_digest
from mmseg_ris_kd.apis import load_config

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'results' / 'refshapes'
PAGE = (ROOT / 'results' / 'README.md').read_text()


def rows(folder: Path = RESULTS) -> list[dict]:
    return json.loads((folder / 'distillation.json').read_text())


def table(header: str, page: str = PAGE) -> dict[str, list[str]]:
    """Cells of the table of the page whose head starts so, by the first cell of its rows."""
    body = page[page.index(header):].split('\n\n')[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in body]
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize('header', ['| method | val |', '| CMKD | val |'])
def test_means_and_gains_of_the_study(header):
    summaries = summarize(rows())
    for method, cells in table(header).items():
        for split, cell in zip(('val', 'testA', 'testB'), cells):
            summary = summaries[method, split]
            gain = f' ({summary.mean_gain:+.2f})' if summary.gains else ''
            assert cell == f'{summary.mean:.2f}{gain}', (method, split)


def test_every_distillation_of_the_study_is_in_a_table():
    named = {*table('| method | val |'), *table('| CMKD | val |')}
    assert named == {'teacher', 'student', *load_study(RESULTS / 'study.py').distillations}


@pytest.mark.parametrize('folder, study', [('.', 'study.py'), ('full_schedule', 'full_schedule.py')])
def test_reports_are_of_the_committed_rows_runs_and_costs(folder, study):
    study = load_study(RESULTS / study)
    searches = [dict(method=name, value=value, mIoU=metrics_of(RESULTS / folder / 'runs' / run.folder)['val']['mIoU'])
                for name, method in study.distillations.items()
                for value, run in zip(method.search_values, study.search(name))]
    report = markdown_report(rows(RESULTS / folder), searches, notes={}, costs=study.costs)
    tables = [[line for line in text.splitlines() if line.startswith('|')]
              for text in (report, (RESULTS / folder / 'distillation.md').read_text())]
    assert tables[0] == tables[1]


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / 'metrics.json').read_text())['metrics']


def test_what_was_left_out_is_of_the_runs():
    for folder, cells in table('| left out | val |').items():
        for split, cell in zip(('val', 'testA', 'testB'), cells):
            ours, alone = ([metrics_of(RESULTS / 'runs' / name / f'seed{seed}')[split]['mIoU'] for seed in range(3)]
                           for name in (folder, 'student'))
            mean = statistics.fmean(ours)
            assert cell == f'{mean:.2f} ({mean - statistics.fmean(alone):+.2f})', (folder, split)


@pytest.mark.parametrize('folder', ['.', 'full_schedule'])
def test_rows_are_of_the_runs_and_of_todays_configs(folder):
    folder = RESULTS / folder
    runs = [(json.loads(path.read_text()), metrics_of(path.parent)) for path in (folder / 'runs').rglob('run.json')]
    for run, _ in runs:
        assert run['settings'] == settings_digest(run['config'], json.dumps(run['options'])), run
    for row in rows(folder):
        if row['method'] != 'teacher':
            assert any(run.items() <= row.items() and metrics[row['split']].items() <= row.items()
                       for run, metrics in runs), row


def test_means_and_gains_of_the_full_schedule():
    summaries, named = summarize(rows(RESULTS / 'full_schedule')), table('| mIoU | val |')
    cells = {method: [summaries[method, split] for split in ('val', 'testA', 'testB')]
             for method in ('teacher', 'student', 'cmkd', 'cwd', 'dist', 'cmkd-channel-word-instead')}
    spread = {method: [f'{summary.mean:.2f} ± {summary.spread:.2f}' for summary in of_splits]
              for method, of_splits in cells.items() if method != 'teacher'}
    assert named == {
        'teacher, 0.993 M parameters': [f'{summary.mean:.2f}' for summary in cells['teacher']],
        'student alone, 0.124 M': spread['student'],
        'CMKD': spread['cmkd'],
        'CWD': spread['cwd'],
        'DIST': spread['dist'],
        'CMKD, channel-word relation instead': spread['cmkd-channel-word-instead'],
        'gain, mean and by seed': [
            f'{summary.mean_gain:+.2f}: ' + ', '.join(f'{gain:.1f}' for _, gain in sorted(summary.gains.items()))
            for summary in cells['cmkd']]}


def test_the_readme_rounds_the_full_schedule():
    summaries = summarize(rows(RESULTS / 'full_schedule'))
    named = table('| mIoU | val | testA |', (ROOT / 'README.md').read_text())
    for (name, cells), method in zip(named.items(), ('teacher', 'student', 'cmkd', 'dist'), strict=True):
        of_splits = [summaries[method, split] for split in ('val', 'testA', 'testB')]
        assert cells == [f'{of.mean:.1f}' if method == 'teacher' else f'{of.mean:.1f} ± {of.spread:.1f}'
                         for of in of_splits], name
    assert summaries['dist', 'val'].mean > summaries['cwd', 'val'].mean


def test_costs_are_those_of_the_benchmarks():
    columns = []
    for file in ('refcoco_480_cpu', 'refshapes_cpu'):
        report = json.loads((ROOT / 'results' / 'cost' / f'{file}.json').read_text())
        steps, relations = report['steps'], report['relations']
        alone, teacher = steps['student alone'], steps['teacher forward']
        cmkd = next(step for name, step in steps.items() if name.startswith('cmkd_'))
        columns.append([
            f'{cmkd["seconds"] / (alone["seconds"] + teacher["seconds"]):.2f}',
            f'{(cmkd["bytes"] + cmkd["resident_bytes"]) / (alone["bytes"] + alone["resident_bytes"]):.2f}',
            f'{cmkd["bytes"] / alone["bytes"]:.2f}',
            *(f'{1e3 * relation["seconds"]:.0f} ms, {relation["bytes"] / 2**20:.0f} MiB' for relation in (
                relations['channel relation, all positions'], relations['pixel relation (CIRKD), all positions']))])
    assert list(table('| | 480 x 480 |').values()) == [list(cells) for cells in zip(*columns)]


def test_agreement_is_the_mean_of_the_seeds():
    for name, cells in table('| student | mIoU |').items():
        method = 'cmkd' if name == 'alone' else name
        model = 'student alone' if name == 'alone' else 'distilled student'
        entries = [json.loads(path.read_text())['models'][model]
                   for path in sorted((RESULTS / 'agreement').glob(f'{method}_seed*.json'))]
        assert len(entries) == 3
        means = [statistics.fmean(values) for values in zip(*(
            (entry['mIoU'], entry['shares']['student_only'], entry['shares']['teacher_only'],
             entry['iou_with_wrong_teacher']) for entry in entries))]
        assert cells == [f'{means[0]:.2f}', f'{means[1]:.1f} %', f'{means[2]:.1f} %', f'{means[3]:.1f} %'], name


def test_configs_of_the_rivals_have_the_weights_that_the_study_found():
    """CMKD's was found on the configs' own schedule."""
    study = load_study(RESULTS / 'study.py')
    for name, method in study.distillations.items():
        if method.search_key is None or name == 'cmkd':
            continue
        chosen = {row['options'][method.search_key] for row in rows() if row['method'] == name}
        loss, argument = re.fullmatch(r'model\.distill_losses\.(\w+)\.(\w+)', method.search_key).groups()
        assert chosen == {load_config(method.config).model.distill_losses[loss][argument]}, name
