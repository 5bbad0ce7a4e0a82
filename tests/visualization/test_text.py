"""Line breaking: nothing lost, nothing too wide, nothing that crashes."""
from __future__ import annotations

import pytest

from mmseg_ris_kd.visualization.text import clean, load_font, wrap

FONT = load_font(15)


def test_wrapped_lines_fit_and_hold_every_word():
    text = 'the second man from the left who wears a striped shirt and looks at the camera'
    lines = wrap(text, FONT, 120, 20)
    assert ' '.join(lines) == text
    assert len(lines) > 3 and all(FONT.getlength(line) <= 120 for line in lines)


def test_wrapping_is_greedy():
    lines = wrap('aaa bbb ccc ddd eee fff', FONT, 100, 20)
    for line, following in zip(lines, lines[1:]):
        assert FONT.getlength(f'{line} {following.split()[0]}') > 100


def test_exactly_as_many_lines_as_allowed_are_not_cut():
    text = 'left man in the red shirt'
    needed = len(wrap(text, FONT, 80, 20))
    assert ' '.join(wrap(text, FONT, 80, needed)) == text
    cut = wrap(text, FONT, 80, needed - 1)
    assert len(cut) == needed - 1 and cut[-1].endswith('\u2026') and FONT.getlength(cut[-1]) <= 80


def test_600_words_end_in_an_ellipsis():
    lines = wrap(' '.join(f'word{i}' for i in range(600)), FONT, 300, 5)
    assert len(lines) == 5 and lines[0].startswith('word0 word1') and lines[-1].endswith('\u2026')
    assert all(FONT.getlength(line) <= 300 for line in lines)


@pytest.mark.parametrize('text', ['x' * 200, '站在左边穿红色衣服的男人' * 6])
def test_scripts_without_spaces_break_inside_words(text):
    lines = wrap(text, FONT, 150, 100)
    assert ''.join(lines) == text and all(FONT.getlength(line) <= 150 for line in lines)


def test_a_line_narrower_than_a_letter_still_ends():
    assert wrap('ab cd', FONT, 1, 2)[0] == 'a'


@pytest.mark.parametrize('text', ['', '   ', '\n\t'])
def test_nothing_is_one_empty_line(text):
    assert wrap(text, FONT, 100, 3) == ['']


def test_clean_replaces_what_cannot_be_drawn_and_keeps_every_script():
    assert clean(' left\n\tman ') == 'left man'
    assert clean('a\x00b\ud800c') == 'a\ufffdb?c'
    for text in ('l’homme à gauche', 'мужчина слева', 'الرجل', '左边的人', 'man 😀', '👩\u200d👧'):
        assert clean(text) == text
