"""The bars of agreement: drawn to both sides, in proportion, for any shares."""
from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from mmseg_ris_kd.visualization.agreement_figure import (
    REPEATED_COLOR,
    STUDENT_RIGHT_COLOR,
    TEACHER_RIGHT_COLOR,
    draw_agreement_figure,
)


def areas(path, shares, repeated=None):
    draw_agreement_figure(shares, path, repeated=repeated or dict.fromkeys(shares), title='val')
    pixels = np.asarray(Image.open(path).convert('RGB')).astype(int)
    found = []
    for color in (STUDENT_RIGHT_COLOR, TEACHER_RIGHT_COLOR, REPEATED_COLOR):
        rgb = np.round(255 * np.array(to_rgb(color)))
        found.append(np.nonzero((np.abs(pixels - rgb) <= 1).all(axis=-1)))
    return found


def test_bars_are_in_proportion_and_on_their_side(tmp_path):
    student, teacher, _ = areas(tmp_path / 'a.png', {'student alone': (2., 8.)})
    assert len(teacher[0]) / len(student[0]) == pytest.approx(4, rel=0.1)
    assert teacher[1].max() <= student[1].min()


def test_a_student_that_always_agrees_has_no_bar(tmp_path):
    found = areas(tmp_path / 'a.png', {'student alone': (0., 0.), 'distilled student': (0., 0.)})
    assert [len(area[0]) for area in found] == [0, 0, 0]


def test_repeated_errors_have_bars_of_their_own(tmp_path):
    shares = {'student alone': (1., 1.), 'distilled student': (1., 1.)}
    student, _, (rows, columns) = areas(tmp_path / 'a.png', shares, {'student alone': 20., 'distilled student': 80.})
    upper = rows < (rows.min() + rows.max()) / 2
    assert (~upper).sum() / upper.sum() == pytest.approx(4, rel=0.1) and columns.min() > student[1].max()


def test_no_student_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no student'):
        draw_agreement_figure({}, tmp_path / 'a.png', repeated={}, title='')
