"""From one row per (method, split, seed) to a table with spreads and a figure."""
from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..engine.files import written_whole
from .step_cost import StepCost, StepCosts

COST_COLUMNS = ('params (M)', 'step time', 'memory')


@dataclass(frozen=True)
class Summary:
    """A metric of one method on one split over its seeds.

    Args:
        values: The metric by seed.
        gains: Its difference from the student alone with the same seed, where there is one.
    """
    values: dict[int, float]
    gains: dict[int, float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values.values())

    @property
    def spread(self) -> float:
        """Standard deviation of the sample, nan for a single seed."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else math.nan

    @property
    def mean_gain(self) -> float:
        return statistics.fmean(self.gains.values()) if self.gains else math.nan


def summarize(rows: Sequence[dict], metric: str = 'mIoU') -> dict[tuple[str, str], Summary]:
    """Gather rows into one ``Summary`` per (method, split).

    Args:
        rows: Dicts with ``method``, ``split``, ``seed`` and the metrics in percent.
        metric: The metric to summarize.

    Returns:
        Summaries in the order in which methods and splits first occur.
    """
    values: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        values.setdefault((row['method'], row['split']), {})[row['seed']] = row[metric]
    summaries = {}
    for (method, split), by_seed in values.items():
        alone = values.get(('student', split), {})
        gains = {} if method in ('student', 'teacher') else {
            seed: value - alone[seed] for seed, value in by_seed.items() if seed in alone}
        summaries[method, split] = Summary(by_seed, gains)
    return summaries


def markdown_report(rows: Sequence[dict], searches: Sequence[dict], *, notes: Mapping[str, str],
                    metric: str = 'mIoU', costs: StepCosts | None = None) -> str:
    """Write the tables of a comparison.

    Args:
        rows: One dict per (method, split, seed).
        searches: One dict per run of a search: ``method``, ``value`` and the metric on the validation split.
        notes: Facts that the table is headed with, such as the commit and the command.
        metric: Metric of the tables.
        costs: What the methods cost; None: the table says nothing of it.
    """
    summaries = summarize(rows, metric)
    methods = list(dict.fromkeys(method for method, _ in summaries))
    splits = list(dict.fromkeys(split for _, split in summaries))
    seeds = sorted({row['seed'] for row in rows})
    lines = [f'# Distillation: {metric} over seeds {", ".join(map(str, seeds))}', '']
    lines += [f'- {name}: {value}' for name, value in notes.items()]
    lines += ['', f'Mean ± standard deviation of {metric} in percent; in brackets the mean difference from the student '
              'alone with the same seed, and how many seeds are above it. The teacher is trained once.', '']
    columns = [*splits, *(COST_COLUMNS if costs else ())]
    lines += [_line('method', *columns), _line('---', *(['---:'] * len(columns)))]
    for method in methods:
        cells = [_cell(summaries.get((method, split))) for split in splits]
        lines.append(_line(method, *cells, *(_cost_cells(costs.methods.get(method)) if costs else ())))
    if costs:
        lines += ['', 'Parameters at inference; time of a training step and peak memory of training, the teacher\'s '
                  f'forward pass and weights included, as multiples of the student\'s alone, from {costs.source}.']
    gained = list(dict.fromkeys(method for (method, _), summary in summaries.items() if summary.gains))
    if gained:
        lines += ['', f'## Difference from the student alone, {metric}, seeds {", ".join(map(str, seeds))}', '',
                  _line('method', *splits), _line('---', *(['---:'] * len(splits)))]
        lines += [_line(method, *(_gain_cell(summaries.get((method, split)), seeds) for split in splits))
                  for method in gained]
    if searches:
        lines += ['', f'## The search, {metric} on {splits[0]}', '',
                  f'The best value of each method is in its row above: {splits[0]} has served for the choice.', '',
                  _line('method', 'value', metric), _line('---', '---:', '---:')]
        lines += [_line(search['method'], f'{search["value"]:g}', f'{search[metric]:.2f}') for search in searches]
    return '\n'.join(lines) + '\n'


def _line(*cells: str) -> str:
    return f'| {" | ".join(cells)} |'


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return '-'
    text = f'{summary.mean:.2f}' + ('' if math.isnan(summary.spread) else f' ± {summary.spread:.2f}')
    if summary.gains:
        above = sum(gain > 0 for gain in summary.gains.values())
        text += f' ({summary.mean_gain:+.2f}, {above}/{len(summary.gains)})'
    return text


def _gain_cell(summary: Summary | None, seeds: Sequence[int]) -> str:
    gains = summary.gains if summary else {}
    return ', '.join(f'{gains[seed]:+.1f}' if seed in gains else '-' for seed in seeds)


def _cost_cells(cost: StepCost | None) -> list[str]:
    if cost is None:
        return ['-'] * len(COST_COLUMNS)
    return [f'{cost.parameters / 1e6:.2f}', *('-' if ratio is None else f'{ratio:.2f}'
                                              for ratio in (cost.time, cost.memory))]


def draw_figure(rows: Sequence[dict], path: str | Path, *, metric: str = 'mIoU') -> None:
    """Draw every seed of every method as a dot, one panel per split, best mean on top."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot

    summaries = summarize(rows, metric)
    splits = list(dict.fromkeys(split for _, split in summaries))
    methods = sorted({method for method, _ in summaries},
                     key=lambda method: statistics.fmean(s.mean for (m, _), s in summaries.items() if m == method))
    figure, panels = pyplot.subplots(1, len(splits), sharey=True, squeeze=False, layout='constrained',
                                     figsize=(3.2 * len(splits) + 1.5, 0.32 * len(methods) + 1.2))
    for panel, split in zip(panels[0], splits):
        for height, method in enumerate(methods):
            summary = summaries.get((method, split))
            if summary is None:
                continue
            color = {'teacher': '#555555', 'student': '#1f77b4'}.get(
                method, '#c2185b' if method.startswith('cmkd') else '#e69f00')
            panel.scatter(list(summary.values.values()), [height] * len(summary.values), s=16, color=color, alpha=0.55,
                          linewidths=0)
            panel.scatter([summary.mean], [height], s=90, marker='|', linewidths=2.2, color=color)
        if ('student', split) in summaries:
            panel.axvline(summaries['student', split].mean, color='#1f77b4', linewidth=0.8, linestyle=':')
        panel.set_title(split, fontsize=10)
        panel.set_xlabel(f'{metric} (%)', fontsize=9)
        panel.grid(axis='x', linewidth=0.3)
        panel.spines[['top', 'right']].set_visible(False)
        panel.tick_params(labelsize=8)
    panels[0][0].set_yticks(range(len(methods)), methods)
    panels[0][0].set_ylim(-0.6, len(methods) - 0.4)  # room for the whole marks of the first and last row
    with written_whole(path) as part:
        figure.savefig(part, dpi=150, format='png')
    pyplot.close(figure)
