"""One expression as several models see it: predicted mask, and where each word of the expression is attended to."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .overlay import draw_overlay
from .text import load_font, wrap

BACKGROUND, BLANK = (255, 255, 255), (240, 241, 243)
INK, FAINT_INK = (28, 30, 34), (104, 109, 118)
COLOR_MAP = 'GnBu_r'  # dark to light like a grey print, and free of the outline's yellow
MAX_WORDS = 12
LEGEND = 'Yellow outline: target. Magenta hatching: prediction. '
SPECIAL = '(special tokens)'


@dataclass
class AttentionRow:
    """What one model makes of an expression of W words.

    Args:
        name: The model.
        prediction: Predicted mask (H, W), nonzero inside.
        caption: Short remark under the prediction, e.g. ``'IoU 87.3'``.
        maps: Per word the attention of the pixels to it (h, w), at least 0, stretched over the image; None where the
            model did not read the word.
        special: The same for all special tokens together ([CLS], [SEP]); None if the model has none.
        remark: Further lines under the name.
    """
    name: str
    prediction: np.ndarray
    caption: str
    maps: Sequence[np.ndarray | None]
    special: np.ndarray | None = None
    remark: str = ''

    def scale(self, words: int) -> float:
        """Largest attention to one of the first words: the brightest colour of the row."""
        return max((float(word.max()) for word in self.maps[:words] if word is not None), default=0.) or 1.


def draw_attention_sheet(image: np.ndarray,
                         expression: str,
                         words: Sequence[str],
                         rows: Sequence[AttentionRow],
                         *,
                         target: np.ndarray | None = None,
                         subtitle: str = '',
                         cell: int = 160) -> Image.Image:
    """Draw a row per model: the prediction over the image, then a heat map per word, on one colour scale per row.

    Args:
        image: RGB image, uint8, (H, W, 3).
        expression: The expression, the headline.
        words: Its W words; of more than ``MAX_WORDS`` the first ones are drawn, and the sheet says so.
        rows: At least one model.
        target: Target mask (H, W), drawn as an outline; None or empty: none.
        subtitle: Line under the headline, e.g. which stage the attention is of.
        cell: Longest side of an image or heat map, in pixels.

    Returns:
        RGB image.

    Raises:
        ValueError: There is no row, or a row has not one map per word.
    """
    if not rows:
        raise ValueError('draw_attention_sheet got no rows: give at least one model')
    for row in rows:
        if len(row.maps) != len(words):
            raise ValueError(f'the expression {expression!r} has {len(words)} words, but {row.name!r} has '
                             f'{len(row.maps)} maps: give one per word, None where the model did not read it')
    layout = _Layout(image.shape[:2], cell, min(len(words), MAX_WORDS), any(row.special is not None for row in rows))
    if len(words) > MAX_WORDS:
        subtitle = f'{subtitle} The first {MAX_WORDS} of {len(words)} words are shown.'.strip()
    if layout.special:
        subtitle = f'{subtitle} The special tokens may lie beyond the scale.'.strip()
    parts = [_draw_header(expression, LEGEND + subtitle, layout), _draw_titles(words, layout),
             *(_draw_row(row, image, target, layout) for row in rows)]
    sheet = Image.new('RGB', (layout.width + 2 * layout.gap, sum(part.height + layout.gap for part in parts)
                              + layout.gap), BACKGROUND)
    y = layout.gap
    for part in parts:
        sheet.paste(part, (layout.gap, y))
        y += part.height + layout.gap
    return sheet


class _Layout:
    """Sizes in pixels and fonts: a column for names, one for predictions, one per word, one for special tokens.

    Args:
        image_size: Height and width of the image.
        cell: Longest side of a cell.
        words: Words that are drawn.
        special: Whether there is a column for special tokens.
    """

    def __init__(self, image_size: tuple[int, int], cell: int, words: int, special: bool):
        scale = cell / max(image_size)
        self.words = words
        self.special = special
        self.size = max(cell // 3, round(image_size[1] * scale)), max(cell // 3, round(image_size[0] * scale))
        self.gap = max(4, cell // 20)
        self.letters = max(11, cell // 11)
        self.line = round(1.35 * self.letters)
        self.label_width = round(10 * self.letters)
        self.columns = 1 + words + special
        # few words leave room for the headline
        self.width = max(self.x(self.columns) - self.gap, 45 * self.letters)
        self.font, self.small = load_font(self.letters), load_font(self.letters - 1)
        self.bold, self.headline = load_font(self.letters, bold=True), load_font(self.letters + 5, bold=True)
        self.outline = max(1., cell / 100)

    def x(self, column: int) -> int:
        """Left edge of a column; 0 is that of the predictions."""
        return self.label_width + self.gap + column * (self.size[0] + self.gap)


def _draw_header(expression: str, subtitle: str, layout: _Layout) -> Image.Image:
    lines = [(line, layout.headline, INK) for line in wrap(expression, layout.headline, layout.width, 3)]
    lines += [(line, layout.font, FAINT_INK) for line in wrap(subtitle, layout.font, layout.width, 4)]
    heights = [round(1.35 * font.size) for _, font, _ in lines]
    header = Image.new('RGB', (layout.width, sum(heights)), BACKGROUND)
    pen, y = ImageDraw.Draw(header), 0
    for (line, font, color), height in zip(lines, heights):
        pen.text((0, y), line, font=font, fill=color)
        y += height
    return header


def _draw_titles(words: Sequence[str], layout: _Layout) -> Image.Image:
    titles = ['prediction', *words[:layout.words], *([SPECIAL] if layout.special else [])]
    lines = [wrap(title, layout.bold, layout.size[0], 2) for title in titles]
    height = max(map(len, lines))
    drawn = Image.new('RGB', (layout.width, height * layout.line), BACKGROUND)
    pen = ImageDraw.Draw(drawn)
    for column, title in enumerate(lines):
        for index, line in enumerate(title):
            y = (height - len(title) + index) * layout.line  # at the bottom, close to the pictures
            pen.text((layout.x(column), y), line, font=layout.bold, fill=INK if 0 < column <= layout.words else
                     FAINT_INK)
    return drawn


def _draw_row(row: AttentionRow, image: np.ndarray, target: np.ndarray | None, layout: _Layout) -> Image.Image:
    scale = row.scale(layout.words)
    label = _draw_label(row, scale, layout)
    drawn = Image.new('RGB', (layout.width, max(label.height, layout.size[1] + layout.line)), BACKGROUND)
    drawn.paste(label, (0, 0))
    overlay = draw_overlay(image, layout.size, target=target, prediction=row.prediction,
                           line_width=1.5 * layout.outline)
    _place(drawn, 0, overlay, row.caption, layout, bold=True)
    maps = [*row.maps[:layout.words], *([row.special] if layout.special else [])]
    for column, attention in enumerate(maps, 1):
        if attention is None:
            blank = np.full((layout.size[1], layout.size[0], 3), BLANK, np.uint8)
            _place(drawn, column, blank, 'none' if column > layout.words else 'not read', layout)
            continue
        heat = draw_overlay(_heat(attention, scale, layout.size), layout.size, target=target,
                            line_width=layout.outline)
        _place(drawn, column, heat, f'mean {100 * float(attention.mean()):.1f} %', layout)
    return drawn


def _draw_label(row: AttentionRow, scale: float, layout: _Layout) -> Image.Image:
    """Name and remark of a row, and its colour bar."""
    lines = [(line, layout.bold, INK) for line in wrap(row.name, layout.bold, layout.label_width, 3)]
    for text in row.remark.splitlines():
        lines += [(line, layout.small, FAINT_INK) for line in wrap(text, layout.small, layout.label_width, 3)]
    bar_top = len(lines) * layout.line + layout.gap
    drawn = Image.new('RGB', (layout.label_width, bar_top + 2 * layout.line + layout.gap), BACKGROUND)
    pen = ImageDraw.Draw(drawn)
    for index, (line, font, color) in enumerate(lines):
        pen.text((0, index * layout.line), line, font=font, fill=color)
    bar = (layout.label_width - layout.gap, layout.letters)
    drawn.paste(Image.fromarray(_heat(np.linspace(0, 1, 64)[None], 1., bar)), (0, bar_top))
    pen.text((0, bar_top + layout.letters + 2), '0', font=layout.small, fill=FAINT_INK)
    pen.text((bar[0], bar_top + layout.letters + 2), f'{100 * scale:.3g} %', font=layout.small, fill=FAINT_INK,
             anchor='ra')
    return drawn


def _place(drawn: Image.Image, column: int, picture: np.ndarray, caption: str, layout: _Layout, *,
           bold: bool = False) -> None:
    drawn.paste(Image.fromarray(picture), (layout.x(column), 0))
    font, color = (layout.bold, INK) if bold else (layout.small, FAINT_INK)
    text = wrap(caption, font, layout.size[0], 1)[0]
    ImageDraw.Draw(drawn).text((layout.x(column), layout.size[1] + 2), text, font=font, fill=color)


def _heat(attention: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """Colour a map (h, w), 0 to ``scale``, and stretch it to ``size`` (width, height); its positions stay visible."""
    from matplotlib import colormaps
    shares = np.clip(np.asarray(attention, np.float32) / scale, 0, 1)
    if size[0] * size[1] < shares.size:
        shares = cv2.resize(shares, size, interpolation=cv2.INTER_AREA)
    colors = (255 * colormaps[COLOR_MAP](shares)[..., :3]).round().astype(np.uint8)
    return cv2.resize(colors, size, interpolation=cv2.INTER_NEAREST)
