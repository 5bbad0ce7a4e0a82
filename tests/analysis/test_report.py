from __future__ import annotations

import math

import pytest
from PIL import Image

from mmseg_ris_kd.analysis import draw_figure, markdown_report, summarize
from mmseg_ris_kd.analysis.step_cost import StepCost, StepCosts


def rows():
    values = {('teacher', 'val'): {0: 80.}, ('student', 'val'): {0: 60., 1: 62.}, ('cmkd', 'val'): {0: 64., 1: 61.},
              ('student', 'testA'): {0: 50., 1: 50.}, ('cmkd', 'testA'): {0: 51., 1: 55.}}
    return [dict(method=method, split=split, seed=seed, mIoU=value, oIoU=1.)
            for (method, split), seeds in values.items() for seed, value in seeds.items()]


def test_gains_pair_equal_seeds():
    summary = summarize(rows())['cmkd', 'val']
    assert summary.mean == 62.5 and summary.spread == pytest.approx(math.sqrt(4.5))
    assert summary.gains == {0: 4., 1: -1.} and summary.mean_gain == 1.5
    assert summarize(rows())['teacher', 'val'].gains == {}
    assert math.isnan(summarize(rows())['teacher', 'val'].spread)


def test_table():
    text = markdown_report(rows(), [dict(method='cmkd', value=0.5, mIoU=61.), dict(method='cmkd', value=5., mIoU=64.)],
                           notes=dict(commit='abc'))
    assert '- commit: abc' in text and 'seeds 0, 1' in text
    assert '| teacher | 80.00 | - |' in text
    assert '| student | 61.00 ± 1.41 | 50.00 ± 0.00 |' in text
    assert '| cmkd | 62.50 ± 2.12 (+1.50, 1/2) | 53.00 ± 2.83 (+3.00, 2/2) |' in text
    assert '## Difference from the student alone, mIoU, seeds 0, 1' in text
    assert '| cmkd | +4.0, -1.0 | +1.0, +5.0 |' in text
    assert '| cmkd | 0.5 | 61.00 |' in text and '| cmkd | 5 | 64.00 |' in text


def test_costs():
    costs = StepCosts(dict(teacher=StepCost(2_345_678), student=StepCost(124_000, 1., 1.)), '`cost.json`: a CPU')
    lines = markdown_report(rows(), [], notes={}, costs=costs).splitlines()
    assert '| method | val | testA | params (M) | step time | memory |' in lines
    assert '| --- | ---: | ---: | ---: | ---: | ---: |' in lines
    assert '| teacher | 80.00 | - | 2.35 | - | - |' in lines
    assert '| student | 61.00 ± 1.41 | 50.00 ± 0.00 | 0.12 | 1.00 | 1.00 |' in lines
    assert '| cmkd | 62.50 ± 2.12 (+1.50, 1/2) | 53.00 ± 2.83 (+3.00, 2/2) | - | - | - |' in lines
    assert any(line.endswith('from `cost.json`: a CPU.') for line in lines)


def test_figure(tmp_path):
    draw_figure(rows(), tmp_path / 'figure.png')
    width, height = Image.open(tmp_path / 'figure.png').size
    assert width > 600 and height > 200
