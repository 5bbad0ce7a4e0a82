"""Drawing of RefShapes: outlines, textures and backgrounds, anti-aliased."""
from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ('circle', 'square', 'triangle', 'star', 'cross', 'ring', 'diamond', 'heart')
COLOURS = {
    'red': (222, 38, 38),
    'orange': (250, 138, 20),
    'yellow': (248, 230, 60),
    'green': (44, 165, 66),
    'cyan': (70, 214, 228),
    'blue': (44, 72, 214),
    'purple': (136, 40, 172),
    'pink': (252, 150, 200),
}
TEXTURES = ('plain', 'striped', 'dotted', 'checkered')

SUPERSAMPLING = 4
MAX_EXTENT = 1.25  # farthest vertex of any outline, in radii


def regular_polygon(corners: int, radius: float, inner: float | None = None) -> list[tuple[float, float]]:
    """Corners of a polygon (or, with an ``inner`` radius, a star) that points upwards, y growing downwards."""
    steps = corners if inner is None else 2 * corners
    points = []
    for step in range(steps):
        length = radius if inner is None or step % 2 == 0 else inner
        angle = 2 * math.pi * step / steps - math.pi / 2
        points.append((length * math.cos(angle), length * math.sin(angle)))
    return points


def heart_outline() -> list[tuple[float, float]]:
    """The usual parametric heart, about 2 wide and 1.8 high."""
    points = []
    for step in range(48):
        t = 2 * math.pi * step / 48
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((1.08 * math.sin(t)**3, -1.08 * (y + 2) / 16))
    return points


# Outlines in units of the radius, chosen so that shapes of one radius look about equally big.
OUTLINES = {
    'circle': regular_polygon(64, 0.95),
    'square': [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    'triangle': [(x, y + 0.25) for x, y in regular_polygon(3, 1.18)],
    'star': regular_polygon(5, 1.22, 0.52),
    'cross': [(-.36, -1), (.36, -1), (.36, -.36), (1, -.36), (1, .36), (.36, .36), (.36, 1), (-.36, 1), (-.36, .36),
              (-1, .36), (-1, -.36), (-.36, -.36)],
    'ring': regular_polygon(64, 1.0),
    'diamond': [(0, -1.2), (0.72, 0), (0, 1.2), (-0.72, 0)],
    'heart': heart_outline(),
}
RING_HOLE = 0.5
CONTOUR = 0.07  # width in radii


def draw_shape(shape: str, radius: float, angle: float, offset: tuple[float, float], extent: int) -> np.ndarray:
    """Supersampled drawing of one shape with a contour, which keeps overlapping shapes of one colour apart.

    Args:
        shape: One of ``SHAPES``.
        radius: Radius in pixels.
        angle: Rotation in radians.
        offset: Centre (x, y) in pixels from the patch's top-left corner.
        extent: Side of the square patch in pixels.

    Returns:
        Map (extent * SUPERSAMPLING, extent * SUPERSAMPLING), uint8: 0 outside, 1 inside, 2 on the contour.
    """
    cos, sin = math.cos(angle), math.sin(angle)

    def place(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((offset[0] + radius * (x * cos - y * sin)) * SUPERSAMPLING - 0.5,
                 (offset[1] + radius * (x * sin + y * cos)) * SUPERSAMPLING - 0.5) for x, y in points]

    canvas = Image.new('L', (extent * SUPERSAMPLING, extent * SUPERSAMPLING), 0)
    pen = ImageDraw.Draw(canvas)
    contour = max(round(CONTOUR * radius * SUPERSAMPLING), 2)
    pen.polygon(place(OUTLINES[shape]), fill=1, outline=2, width=contour)
    if shape == 'ring':
        hole = place([(RING_HOLE * x, RING_HOLE * y) for x, y in OUTLINES['ring']])
        pen.polygon(hole, fill=0, outline=2, width=contour)
    return np.asarray(canvas)


def texture_pattern(texture: str, period: float, angle: float, offset: tuple[float, float], extent: int) -> np.ndarray:
    """Supersampled map of the texture's dark parts (extent * SUPERSAMPLING, extent * SUPERSAMPLING), bool."""
    grid = (np.arange(extent * SUPERSAMPLING, dtype=np.float32) + 0.5) / SUPERSAMPLING
    x, y = grid[None, :] - offset[0], grid[:, None] - offset[1]
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    if texture == 'striped':
        return u % period < 0.5 * period
    if texture == 'checkered':
        cell = 0.72 * period
        return (np.floor(u / cell) + np.floor(v / cell)) % 2 == 0
    if texture == 'dotted':
        # one dot at the centre of the object, so that even a small one shows several whole dots
        du, dv = (u + period / 2) % period - period / 2, (v + period / 2) % period - period / 2
        return du**2 + dv**2 < (0.28 * period)**2
    return np.zeros((extent * SUPERSAMPLING, extent * SUPERSAMPLING), dtype=bool)


def downsample(values: np.ndarray) -> np.ndarray:
    """Mean over blocks of SUPERSAMPLING x SUPERSAMPLING samples: (S * n, S * n) -> (n, n), float32."""
    side = values.shape[0] // SUPERSAMPLING
    blocks = values.reshape(side, SUPERSAMPLING, side, SUPERSAMPLING)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def sample_background(rng: random.Random, image_size: int) -> np.ndarray:
    """Gradient between two greyish colours in a random direction (image_size, image_size, 3), float32."""
    ends = []
    for _ in range(2):
        grey = rng.uniform(95, 205)
        ends.append(np.array([grey + rng.uniform(-12, 12) for _ in range(3)], dtype=np.float32))
    angle = rng.uniform(0, 2 * math.pi)
    ramp = np.linspace(-0.5, 0.5, image_size, dtype=np.float32)
    position = ramp[None, :] * math.cos(angle) + ramp[:, None] * math.sin(angle)
    position = np.clip(0.5 + position / 1.4, 0, 1)[..., None]  # H x W -> H x W x 1
    return ends[0] * (1 - position) + ends[1] * position
