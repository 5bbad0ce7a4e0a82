"""Fonts and line breaking: any expression, in any script, becomes lines of a given width."""
from __future__ import annotations

import functools
import os
import unicodedata

from PIL import ImageFont


@functools.cache
def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib and covers Latin, Greek, Cyrillic, Arabic, Hebrew and more.

    Args:
        size: Height of the letters in pixels.
        bold: Use the bold face.
    """
    import matplotlib
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)


def clean(text: str) -> str:
    """Collapse white space and replace what no font can draw: control characters and lone surrogates."""
    text = text.encode('utf-8', 'replace').decode('utf-8')
    letters = [letter if letter.isspace() or unicodedata.category(letter) != 'Cc' else '\ufffd' for letter in text]
    return ' '.join(''.join(letters).split())


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int) -> list[str]:
    """Break a text into lines; a word wider than a line (or a script without spaces) is broken inside.

    Args:
        text: Any text; see :func:`clean`.
        font: Font in which it is measured.
        width: Widest line, in pixels.
        max_lines: Most lines; when more would be needed, the last one ends in an ellipsis.

    Returns:
        At least one line.
    """
    words = clean(text).split()
    lines, line = [], ''
    while words and len(lines) <= max_lines:
        word = words.pop(0)
        joined = f'{line} {word}' if line else word
        if font.getlength(joined) <= width:
            line = joined
        elif line:
            lines.append(line)
            line = ''
            words.insert(0, word)
        else:
            head = _longest_prefix(word, font, width)
            lines.append(word[:head])
            words.insert(0, word[head:])
    lines.append(line)
    lines = [part for part in lines if part] or ['']
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while last and font.getlength(last + '\u2026') > width:
            last = last[:-1]
        lines = lines[:max_lines - 1] + [last.rstrip() + '\u2026']
    return lines


def _longest_prefix(word: str, font: ImageFont.FreeTypeFont, width: int) -> int:
    """Number of letters of ``word`` that fit into ``width``, at least one."""
    fits, too_long = 1, len(word)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if font.getlength(word[:middle]) <= width:
            fits = middle
        else:
            too_long = middle
    return fits
