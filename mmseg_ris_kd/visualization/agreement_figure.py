"""Bars that show where students go another way than their teacher."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TEACHER_RIGHT_COLOR = '#8a8f98'
STUDENT_RIGHT_COLOR = '#c2185b'
REPEATED_COLOR = '#1f77b4'


def draw_agreement_figure(shares: Mapping[str, tuple[float, float]], path: str | Path, *,
                          repeated: Mapping[str, float | None], title: str) -> None:
    """Draw per student a bar to the right where it alone is right, to the left where the teacher alone is, and beside
    them how closely it repeats the teacher's wrong masks.

    Args:
        shares: By student, the percentage of expressions where the student is right and the teacher wrong, and the
            reverse.
        path: The PNG to write, whatever its suffix.
        repeated: By student, its mean IoU with the teacher's wrong masks in percent; None if the teacher has none.
        title: Headline.

    Raises:
        ValueError: There is no student.
    """
    from matplotlib.figure import Figure
    if not shares:
        raise ValueError('draw_agreement_figure got no student: give the shares of at least one')
    figure = Figure(figsize=(11, 1.9 + 0.6 * len(shares)), layout='constrained')
    axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=(7, 3))
    longest = max(max(pair) for pair in shares.values()) or 1.
    for height, (student, teacher) in enumerate(shares.values()):
        for value, sign, color, side in ((student, 1, STUDENT_RIGHT_COLOR, 'left'),
                                         (teacher, -1, TEACHER_RIGHT_COLOR, 'right')):
            axes.barh(height, sign * value, color=color, height=0.6)
            axes.text(sign * (value + 0.02 * longest), height, f'{value:.1f} %', ha=side, va='center', fontsize=9)
    labels = [f'{name}\n(disagrees: {sum(pair):.1f} %)' for name, pair in shares.items()]
    axes.set_yticks(range(len(shares)), labels)
    axes.invert_yaxis()
    axes.set_xlim(-1.25 * longest, 1.25 * longest)
    axes.axvline(0, color='#1c1e22', linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f'{abs(value):g}')
    axes.set_xlabel('\u2190 teacher right, student wrong      share of expressions (%)      '
                    'student right, teacher wrong \u2192', fontsize=9)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.tick_params(axis='y', length=0)
    for height, name in enumerate(shares):
        value = repeated[name]
        beside.barh(height, value or 0., color=REPEATED_COLOR, height=0.6)
        beside.text((value or 0.) + 2, height, '-' if value is None else f'{value:.1f} %', va='center', fontsize=9)
    beside.set_xlim(0, 120)
    beside.set_xticks(range(0, 101, 25))
    beside.set_xlabel('mean IoU with the teacher\'s mask\nwhere the teacher is wrong (%)', fontsize=9)
    beside.spines[['top', 'right']].set_visible(False)
    beside.spines['bottom'].set_bounds(0, 100)  # beyond it, room for the number of a full bar
    beside.tick_params(axis='y', length=0, labelleft=False)
    figure.suptitle(title, fontsize=10, x=0.01, ha='left')
    figure.savefig(path, dpi=150, format='png')
