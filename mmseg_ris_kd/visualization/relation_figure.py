"""How the channels of several models relate to each other, matrix beside matrix, and their spectra."""
from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPECTRUM_COLORS = ('#555555', '#1f77b4', '#c2185b', '#e69f00')
PANEL_INCHES = 3.4


@dataclass(frozen=True)
class RelationPanel:
    """The channel relation of one model.

    Args:
        title: What it is, and its distance to the teacher; may have several lines.
        relation: Cosines between channels with shape (C, C), in the order in which they are drawn.
    """
    title: str
    relation: np.ndarray


def draw_relation_figure(panels: Sequence[RelationPanel], spectra: Mapping[str, np.ndarray], path: str | Path, *,
                         title: str, note: str = '') -> None:
    """Draw matrices on one colour scale, from -1 to 1, above the eigenvalue spectra of the models.

    Args:
        panels: At least one matrix, the teacher's first.
        spectra: By model, the eigenvalues of its own channels' relation as shares of their sum, the largest first; each
            of any length.
        path: The PNG to write, whatever its suffix.
        title: Headline.
        note: What the reader must know of how the matrices were made; long lines are broken.

    Raises:
        ValueError: There is no panel, or a relation is not square.
    """
    from matplotlib.figure import Figure
    if not panels:
        raise ValueError('draw_relation_figure got no panels: give at least the teacher\'s')
    for panel in panels:
        if panel.relation.ndim != 2 or panel.relation.shape[0] != panel.relation.shape[1]:
            raise ValueError(f'a relation must have shape (C, C), but that of {panel.title!r} has '
                             f'{panel.relation.shape}')
    width = PANEL_INCHES * max(2, len(panels)) + 0.8
    lines = textwrap.wrap(note, round(14.5 * width)) if note else []
    figure = Figure(figsize=(width, PANEL_INCHES + 3.6 + 0.17 * len(lines)), layout='constrained')
    matrices, below = figure.subfigures(2, 1, height_ratios=(PANEL_INCHES + 1., 2.6 + 0.17 * len(lines)))
    _draw_matrices(matrices, panels)
    _draw_spectra(below.subplots(), spectra)
    if lines:
        below.supxlabel('\n'.join(lines), fontsize=8, x=0.01, ha='left', color='#686d76')
    figure.suptitle(title, fontsize=11, x=0.01, ha='left')
    figure.savefig(path, dpi=130, format='png')


def _draw_matrices(figure, panels: Sequence[RelationPanel]) -> None:
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(grid, panels):
        drawn = axes.imshow(panel.relation, cmap='RdBu_r', vmin=-1, vmax=1, interpolation='nearest')
        axes.set_title(panel.title, fontsize=9)
        axes.tick_params(labelsize=7)
    grid[0].set_ylabel('channel, in the teacher\'s order', fontsize=8)
    bar = figure.colorbar(drawn, ax=list(grid), shrink=0.8, pad=0.01)
    bar.set_label('relation between channels (cosine, or correlation if centered)', fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_spectra(axes, spectra: Mapping[str, np.ndarray]) -> None:
    for color, (name, shares) in zip(SPECTRUM_COLORS * len(spectra), spectra.items()):
        axes.plot(np.arange(1, len(shares) + 1), 100 * np.cumsum(shares), color=color, linewidth=1.6, marker='.',
                  markersize=3, label=f'{name} ({len(shares)} channels)')
    axes.set_xscale('log')
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
    axes.set_xlim(0.95, 1.05 * max(map(len, spectra.values()), default=1))
    axes.set_ylim(0, 102)
    axes.set_xlabel('number of largest eigenvalues of the model\'s own channel relation (no map between channels)',
                    fontsize=8)
    axes.set_ylabel('share of their sum (%)', fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(linewidth=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    if spectra:
        axes.legend(fontsize=8, frameon=False, loc='lower right')
