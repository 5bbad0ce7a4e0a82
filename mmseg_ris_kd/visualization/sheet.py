"""Sheets that a person can read: image, expression, target outline and prediction, panel by panel."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .overlay import draw_overlay
from .text import load_font, wrap

BACKGROUND = (255, 255, 255)
LETTERBOX = (240, 241, 243)
INK = (28, 30, 34)
FAINT_INK = (104, 109, 118)
EXPRESSION_LINES = 5


@dataclass
class Panel:
    """One expression of one image.

    Args:
        image: RGB image, uint8, (H, W, 3).
        expression: The expression, any length, any script.
        target: Target mask (H, W), nonzero inside; drawn as an outline. None where there is none to show.
        prediction: Predicted mask (H, W), nonzero inside; drawn as a hatched fill.
        caption: Short remark beside the expression, e.g. ``'IoU 87.3'``.

    Raises:
        TypeError: The image is no uint8 array or the expression no string.
        ValueError: The image is not (H, W, 3), or a mask differs from it in size.
    """

    image: np.ndarray
    expression: str
    target: np.ndarray | None = None
    prediction: np.ndarray | None = None
    caption: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.expression, str):
            raise TypeError(f'Panel.expression must be a str, got {type(self.expression).__name__} '
                            f'{self.expression!r}')
        if getattr(self.image, 'dtype', None) != np.uint8:
            raise TypeError(f'Panel.image of "{self.expression}" must be a uint8 RGB array, got '
                            f'{getattr(self.image, "dtype", type(self.image).__name__)}')
        if self.image.ndim != 3 or self.image.shape[2] != 3 or 0 in self.image.shape:
            raise ValueError(f'Panel.image of "{self.expression}" must have shape (H, W, 3), got {self.image.shape}')
        for name in ('target', 'prediction'):
            mask = getattr(self, name)
            if mask is not None and mask.shape != self.image.shape[:2]:
                raise ValueError(f'Panel.{name} of "{self.expression}" has shape {mask.shape}, its image '
                                 f'{self.image.shape[:2]}: resize one to the other before drawing')


def draw_sheet(panels: Sequence[Panel], *, columns: int = 4, panel_size: int = 320, title: str = '') -> Image.Image:
    """Lay panels out in rows under a legend.

    Args:
        panels: At least one panel.
        columns: Panels per row; fewer panels make a narrower sheet.
        panel_size: Longest side of an image on the sheet, in pixels; letters and lines scale with it.
        title: Headline, e.g. what was drawn; empty for none.

    Returns:
        RGB image, ``columns * panel_size`` plus margins wide.

    Raises:
        ValueError: There is no panel, or ``columns`` or ``panel_size`` is too small.
    """
    if not panels:
        raise ValueError('draw_sheet got no panels: a sheet needs at least one')
    if columns < 1:
        raise ValueError(f'columns must be at least 1, got {columns}')
    if panel_size < 64:
        raise ValueError(f'panel_size must be at least 64 pixels, got {panel_size}')
    columns = min(columns, len(panels))
    margin = max(8, panel_size // 16)
    rows = []
    for start in range(0, len(panels), columns):
        row = panels[start:start + columns]
        height = max(_fit(panel.image, panel_size)[1] for panel in row)
        rows.append([draw_panel(panel, panel_size=panel_size, image_height=height) for panel in row])
    width = columns * (panel_size + margin) + margin
    header = _draw_header(panels, width - 2 * margin, panel_size, title)
    heights = [max(drawn.height for drawn in row) for row in rows]
    sheet = Image.new('RGB', (width, header.height + sum(heights) + margin * (len(rows) + 2)), BACKGROUND)
    sheet.paste(header, (margin, margin))
    y = header.height + 2 * margin
    for row, height in zip(rows, heights):
        for column, drawn in enumerate(row):
            sheet.paste(drawn, (margin + column * (panel_size + margin), y))
        y += height + margin
    return sheet


def draw_panel(panel: Panel, *, panel_size: int = 320, image_height: int | None = None) -> Image.Image:
    """Draw one panel: the image with its masks, letterboxed, above the expression and the caption.

    Args:
        panel: What to draw.
        panel_size: Width of the panel and longest side of its image, in pixels.
        image_height: Height of the letterbox, the same along a row; None: that of the scaled image.

    Returns:
        RGB image, ``panel_size`` wide and as high as the text needs.
    """
    size = _fit(panel.image, panel_size)
    height = max(size[1], image_height or 0)
    font, small = load_font(_font_size(panel_size)), load_font(_font_size(panel_size) - 1, bold=True)
    spacing = round(1.3 * _font_size(panel_size))
    gap = spacing // 2

    caption = wrap(panel.caption, small, panel_size, 2) if panel.caption else []
    caption_width = max((int(small.getlength(line)) + 1 for line in caption), default=0)
    beside = len(caption) == 1 and caption_width <= panel_size * 0.3
    text_width = panel_size - (caption_width + gap if beside else 0)
    expression = wrap(panel.expression, font, text_width, EXPRESSION_LINES)
    blank = expression == ['']
    lines = len(expression) + (0 if beside else len(caption))

    drawn = Image.new('RGB', (panel_size, height + gap + lines * spacing), BACKGROUND)
    drawn.paste(LETTERBOX, (0, 0, panel_size, height))
    overlay = draw_overlay(panel.image, size, target=panel.target, prediction=panel.prediction,
                           line_width=_line_width(panel_size))
    drawn.paste(Image.fromarray(overlay), ((panel_size - size[0]) // 2, (height - size[1]) // 2))
    pen = ImageDraw.Draw(drawn)
    y = height + gap
    for line in ['(empty expression)'] if blank else expression:
        pen.text((0, y), line, font=font, fill=FAINT_INK if blank else INK)
        y += spacing
    if beside:
        pen.text((panel_size, height + gap), caption[0], font=small, fill=FAINT_INK, anchor='ra')
    else:
        for line in caption:
            pen.text((0, y), line, font=small, fill=FAINT_INK)
            y += spacing
    return drawn


def _draw_header(panels: Sequence[Panel], width: int, panel_size: int, title: str) -> Image.Image:
    """Title and legend; the legend names only what some panel of the sheet shows."""
    size = _font_size(panel_size)
    font, bold = load_font(size), load_font(size + 2, bold=True)
    spacing = round(1.6 * size)
    entries = []
    if any(panel.target is not None for panel in panels):
        entries.append(('target', _swatch(size, panel_size, target=True)))
    if any(panel.prediction is not None for panel in panels):
        entries.append(('prediction', _swatch(size, panel_size, target=False)))
    lines = wrap(title, bold, width, 3) if title else []
    header = Image.new('RGB', (width, max(1, spacing * (len(lines) + bool(entries)))), BACKGROUND)
    pen = ImageDraw.Draw(header)
    for index, line in enumerate(lines):
        pen.text((0, index * spacing), line, font=bold, fill=INK)
    x, y = 0, len(lines) * spacing + spacing // 2
    for name, swatch in entries:
        header.paste(swatch, (x, y - swatch.height // 2))
        x += swatch.width + size // 2
        pen.text((x, y), name, font=font, fill=INK, anchor='lm')
        x += int(font.getlength(name)) + 2 * size
    return header


def _swatch(size: int, panel_size: int, *, target: bool) -> Image.Image:
    """A small sample of the target's outline or the prediction's fill, drawn as on the panels."""
    line = _line_width(panel_size)
    swatch = np.full((size + 4, 2 * size, 3), (150, 153, 160), np.uint8)
    mask = np.zeros(swatch.shape[:2], bool)
    edge = round(line)  # room for the halo
    mask[edge:-edge, edge:-edge] = True
    masks = dict(target=mask) if target else dict(prediction=mask)
    return Image.fromarray(draw_overlay(swatch, swatch.shape[1::-1], line_width=line, **masks))


def _fit(image: np.ndarray, panel_size: int) -> tuple[int, int]:
    """Width and height of the image scaled, with its aspect kept, to a longest side of ``panel_size``."""
    scale = panel_size / max(image.shape[:2])
    return max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))


def _font_size(panel_size: int) -> int:
    return max(11, round(panel_size / 21))


def _line_width(panel_size: int) -> float:
    return max(1.5, panel_size / 128)
