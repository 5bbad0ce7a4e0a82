"""Sheets of word attention: places, one scale per row, cut words and errors."""
from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps

from mmseg_ris_kd.visualization.attention_sheet import COLOR_MAP, MAX_WORDS, AttentionRow, draw_attention_sheet

IMAGE = np.full((60, 80, 3), 90, np.uint8)
MASK = np.zeros((60, 80), bool)


def row(*levels, name='teacher', special=None, remark=''):
    """A model whose maps are constant."""
    maps = [None if level is None else np.full((3, 4), level, np.float32) for level in levels]
    return AttentionRow(name, MASK, 'IoU 0.0', maps, None if special is None else np.full((3, 4), special), remark)


def sheet(rows, expression='left dog', words=('left', 'dog'), **options):
    return np.asarray(draw_attention_sheet(IMAGE, expression, words, rows, **options)).astype(int)


def area(drawn, share):
    """Number of pixels in the colour of a share of the scale."""
    color = np.round(255 * np.array(colormaps[COLOR_MAP](np.float32(share))[:3]))
    return int((np.abs(drawn - color) <= 1).all(axis=-1).sum())


def test_a_word_has_a_map_in_its_colour():
    drawn = sheet([row(0.25, 0.5)], cell=160)
    cell = 160 * 120
    assert cell <= area(drawn, 0.5) < 1.1 * cell and cell <= area(drawn, 1.) < 1.1 * cell


def test_every_row_has_a_scale_of_its_own():
    drawn = sheet([row(0.2, 0.4), row(0.05, 0.1, name='student')], cell=160)
    for share in (0.5, 1.):
        assert 2 * 160 * 120 <= area(drawn, share) < 2.2 * 160 * 120
    assert row(0.2, 0.4).scale(2) == pytest.approx(0.4) and row(0.2, 0.4).scale(1) == pytest.approx(0.2)
    assert row(None, None).scale(2) == row(0., 0.).scale(2) == 1.  # nothing to divide by


def test_special_tokens_take_a_column_where_a_model_has_them():
    words = ['a', 'b', 'c', 'd', 'e', 'f']
    without, with_special = (sheet([row(*[0.1] * 6, special=special)], 'a b', words) for special in (None, 0.4))
    assert with_special.shape[1] == without.shape[1] + 160 + 8
    both = sheet([row(*[0.1] * 6, special=0.4), row(*[0.1] * 6)], 'a b', words)  # the second has none: a blank cell
    assert both.shape[1] == with_special.shape[1]


def test_many_words_are_cut_and_the_sheet_says_so():
    def width(number):
        return sheet([row(*[0.1] * number)], 'word', ['word'] * number).shape[1]

    assert width(MAX_WORDS - 1) < width(MAX_WORDS) == width(MAX_WORDS + 1) == width(30)
    full, cut = (sheet([row(*[0.1] * number)], 'word', ['word'] * number) for number in (MAX_WORDS, MAX_WORDS + 1))
    assert (full[:60] != 255).sum() < (cut[:60] != 255).sum()


def test_a_word_that_was_not_read_is_blank():
    drawn = sheet([row(0.5, None)], cell=160)
    assert 160 * 120 <= area(drawn, 1.) < 1.1 * 160 * 120


def test_target_is_outlined_on_every_cell():
    target = np.zeros((60, 80), bool)
    target[20:40, 20:40] = True
    rows = [row(0.1, 0.2), row(0.1, 0.2)]
    yellow = (255, 222, 33)
    drawn = sheet(rows, target=target)
    assert (np.abs(drawn - yellow) <= 3).all(axis=-1).sum() > 100
    assert not (np.abs(sheet(rows) - yellow) <= 3).all(axis=-1).any()


def test_a_fine_map_is_averaged_and_the_extremes_of_the_image_are_drawn():
    fine = AttentionRow('teacher', MASK, '', [np.full((480, 480), 0.5, np.float32)])
    assert area(sheet([fine], words=['dog'], cell=100), 1.) >= 100 * 75
    for shape in ((4, 400), (400, 4)):
        image, mask = np.zeros((*shape, 3), np.uint8), np.zeros(shape, bool)
        draw_attention_sheet(image, 'dog', ['dog'], [AttentionRow('teacher', mask, '', [np.ones((2, 2))])])


@pytest.mark.parametrize('expression', ['', 'x' * 400, 'word ' * 200, '左边穿红色衣服的男人', 'الرجل'])
def test_every_expression_can_be_drawn(expression):
    drawn = sheet([row(0.1, remark='KL from the teacher 0.1\nsecond line', name='a long name ' * 5)], expression,
                  [expression])
    assert drawn.shape[0] < 600


def test_errors_name_what_does_not_fit():
    with pytest.raises(ValueError, match='no rows'):
        draw_attention_sheet(IMAGE, 'dog', ['dog'], [])
    with pytest.raises(ValueError, match="'left dog' has 2 words, but 'teacher' has 1 maps"):
        sheet([row(0.1)])
