"""The figure of channel relations is written, grows with what it shows, and refuses what is no relation."""
from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from mmseg_ris_kd.visualization.relation_figure import RelationPanel, draw_relation_figure


def draw(path, panels, spectra=None, **options):
    draw_relation_figure(panels, spectra or {}, path, title='stage 1', **options)
    return Image.open(path)


def panel(channels=4, title='teacher'):
    return RelationPanel(title, np.eye(channels))


def test_panels_stand_side_by_side(tmp_path):
    spectra = dict(teacher=np.array([0.7, 0.2, 0.1]), student=np.array([0.6, 0.4]))
    two = draw(tmp_path / '2.png', [panel(), panel(title='student\nL_ch 0.1')], spectra)
    four = draw(tmp_path / '4.png', [panel(channels=64)] * 4, spectra)
    assert four.width > 1.7 * two.width and four.height == two.height


@pytest.mark.parametrize(('value', 'share'), [(-1., 0.), (0., 0.5), (0.5, 0.75)])
def test_the_scale_goes_from_minus_one_to_one_whatever_is_shown(value, share, tmp_path):
    drawn = draw(tmp_path / 'a.png', [RelationPanel('t', np.full((3, 3), value))])
    color = np.round(255 * np.array(colormaps['RdBu_r'](share)[:3]))
    matrix = (np.abs(np.asarray(drawn.convert('RGB')).astype(int) - color) <= 2).all(axis=-1)
    assert matrix.sum() > 300 ** 2


def test_a_long_note_makes_the_figure_higher(tmp_path):
    plain = draw(tmp_path / 'a.png', [panel()])
    assert draw(tmp_path / 'b.png', [panel()], note='a word ' * 100).height > plain.height


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='no panels'):
        draw(tmp_path / 'a.png', [])
    with pytest.raises(ValueError, match=r"of 'student' has \(2, 3\)"):
        draw(tmp_path / 'a.png', [panel(), RelationPanel('student', np.zeros((2, 3)))])
    assert not (tmp_path / 'a.png').exists()
