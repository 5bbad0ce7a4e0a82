"""Scenes of RefShapes: coloured shapes that may hide each other, and the exact visible pixels of each."""
from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .drawing import (
    COLOURS,
    MAX_EXTENT,
    SHAPES,
    TEXTURES,
    downsample,
    draw_shape,
    sample_background,
    texture_pattern,
)

SIZES = ('small', 'large')
# Radii in pixels of a 96-pixel image. The gap between the two ranges is what makes "small" and "large" unambiguous.
REFERENCE_SIZE = 96
RADIUS = {'small': (9.0, 10.8), 'large': (15.0, 18.5)}


@dataclass(frozen=True)
class Attributes:
    """What can be said about one object without looking at the others."""
    shape: str
    colour: str
    texture: str
    size: str


@dataclass(frozen=True)
class SceneObject:
    """One object as it is seen: attributes, and the place of its *visible* pixels.

    Args:
        attributes: Shape, colour, texture and size class.
        x: Mean column of the visible pixels, as a fraction of the image width.
        y: Mean row of the visible pixels, as a fraction of the image height.
        box: Left, top, right, bottom of the visible pixels, as fractions of the image size.
        visible: Visible share of the object's own area, in (0, 1].
    """
    attributes: Attributes
    x: float
    y: float
    box: tuple[float, float, float, float]
    visible: float


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Args:
        image: RGB picture (H, W, 3), uint8.
        id_map: Index of the object seen at each pixel, -1 for the background (H, W), int8.
        objects: The objects, back to front.
    """
    image: np.ndarray
    id_map: np.ndarray
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class Difficulty:
    """How hard the scenes and the expressions are.

    Args:
        num_objects: Fewest and most objects of an image.
        noise: Standard deviation of the pixel noise, in grey levels.
        min_visible: Smallest visible share of an object.
        spacing: Smallest distance of two centres, in sums of their radii.
        textured: Share of objects that are not plain.
        similar: Share of objects made from another one by changing one or two attributes (distractors).
        kinds: How often each kind of expression is attempted in train and val; positions succeed most often, relations
            least, so that the shares written differ from these.
    """
    num_objects: tuple[int, int]
    noise: float
    min_visible: float
    spacing: float
    textured: float
    similar: float
    kinds: dict[str, float]


DIFFICULTIES = {
    'easy': Difficulty((3, 4), 4.0, 0.95, 1.05, 0.3, 0.5, dict(attribute=0.60, position=0.22, relation=0.18)),
    'medium': Difficulty((3, 6), 8.0, 0.70, 0.72, 0.5, 0.7, dict(attribute=0.46, position=0.21, relation=0.33)),
    'hard': Difficulty((5, 8), 16.0, 0.50, 0.60, 0.6, 0.8, dict(attribute=0.36, position=0.16, relation=0.48)),
}


def place_objects(rng: random.Random, sizes: Sequence[str], image_size: int,
                  spacing: float) -> list[tuple[float, float, float]] | None:
    """Draw centre and radius (x, y, r) in pixels of each object; None when they do not fit."""
    scale = image_size / REFERENCE_SIZE
    placed: list[tuple[float, float, float]] = []
    for size in sizes:
        radius = rng.uniform(*RADIUS[size]) * scale
        margin = 1.1 * radius + scale
        for _ in range(30):
            x, y = rng.uniform(margin, image_size - margin), rng.uniform(margin, image_size - margin)
            if all(math.hypot(x - px, y - py) >= spacing * (radius + pr) for px, py, pr in placed):
                placed.append((x, y, radius))
                break
        else:
            return None
    return placed


def render_scene(rng: random.Random, attributes: Sequence[Attributes], image_size: int,
                 difficulty: Difficulty) -> Scene | None:
    """Place and draw objects with the given attributes.

    Shapes are drawn at SUPERSAMPLING times the size and averaged; a pixel belongs to the front-most object that covers
    at least half of it.

    Args:
        rng: Source of every random choice.
        attributes: The objects, back to front.
        image_size: Side of the square image in pixels.
        difficulty: Noise, spacing and occlusion.

    Returns:
        The scene, or None when the objects do not fit or one is hidden too far.
    """
    places = place_objects(rng, [item.size for item in attributes], image_size, difficulty.spacing)
    if places is None:
        return None
    image = sample_background(rng, image_size)
    id_map = np.full((image_size, image_size), -1, dtype=np.int8)
    own_area = []
    for index, (item, (x, y, radius)) in enumerate(zip(attributes, places)):
        left, top = int(x - MAX_EXTENT * radius) - 1, int(y - MAX_EXTENT * radius) - 1
        extent = int(2 * MAX_EXTENT * radius) + 4
        offset = (x - left, y - top)
        drawn = draw_shape(item.shape, radius, rng.uniform(-0.16, 0.16), offset, extent)
        period = max(6.2 * image_size / REFERENCE_SIZE, 0.44 * radius)
        dark = texture_pattern(item.texture, period, rng.choice((0.0, 0.25, 0.5, 0.75)) * math.pi, offset, extent)
        brightness = rng.uniform(0.92, 1.04)
        base = np.array([value * brightness + rng.uniform(-6, 6) for value in COLOURS[item.colour]], dtype=np.float32)

        inside, contour = drawn > 0, drawn == 2
        coverage = downsample(inside)
        # Samples outside the shape carry no colour, so edge pixels are shaded by the shape's own samples only.
        shade = 1 - 0.62 * downsample(inside & (dark | contour)) / np.maximum(coverage, 1e-6)  # n x n
        rows = slice(max(top, 0), min(top + extent, image_size))
        columns = slice(max(left, 0), min(left + extent, image_size))
        patch = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        coverage, shade = coverage[patch][..., None], shade[patch][..., None]  # h x w x 1
        image[rows, columns] = image[rows, columns] * (1 - coverage) + base * shade * coverage
        solid = coverage[..., 0] >= 0.5
        id_map[rows, columns][solid] = index
        own_area.append(int(solid.sum()))

    objects = []
    for index, item in enumerate(attributes):
        ys, xs = np.nonzero(id_map == index)
        visible = len(xs) / max(own_area[index], 1)
        if len(xs) == 0 or visible < difficulty.min_visible:
            return None
        box = (xs.min() / image_size, ys.min() / image_size, (xs.max() + 1) / image_size, (ys.max() + 1) / image_size)
        objects.append(SceneObject(item, float((xs.mean() + 0.5) / image_size), float((ys.mean() + 0.5) / image_size),
                                   tuple(float(value) for value in box), visible))
    # The legacy generator's stream is frozen by numpy's compatibility policy; the modern one's is not.
    noise = np.random.RandomState(rng.getrandbits(32)).standard_normal(image.shape)
    pixels = np.clip(np.rint(image + difficulty.noise * noise), 0, 255).astype(np.uint8)
    return Scene(pixels, id_map, tuple(objects))


def sample_attributes(rng: random.Random, count: int, difficulty: Difficulty, first: Attributes | None,
                      twin: bool, allowed: Callable[[str, str], bool]) -> list[Attributes]:
    """Draw the attributes of an image's objects, with distractors by construction.

    Args:
        rng: Source of every random choice.
        count: Number of objects.
        difficulty: Shares of textured and of similar objects.
        first: Attributes that one object must have; None draws them too.
        twin: Whether a second object repeats the first one's shape and colour, so that only place tells them apart.
        allowed: Tells whether a (shape, colour) pair may be drawn; pairs taken over from ``first`` are always fine.

    Returns:
        ``count`` attribute sets in drawing order.
    """
    objects: list[Attributes] = []

    def draw_texture() -> str:
        return rng.choice(TEXTURES[1:]) if rng.random() < difficulty.textured else TEXTURES[0]

    def draw_size() -> str:
        return SIZES[rng.random() < 0.42]

    def draw_new() -> Attributes:
        while True:
            shape, colour = rng.choice(SHAPES), rng.choice(tuple(COLOURS))
            if allowed(shape, colour):
                return Attributes(shape, colour, draw_texture(), draw_size())

    def draw_similar(model: Attributes) -> Attributes:
        while True:
            values = dict(vars(model))
            # No change at all makes a duplicate, which only position or relation can name.
            for name in rng.sample(('shape', 'colour', 'shape', 'colour', 'texture', 'size'),
                                   rng.choice((0, 1, 1, 1, 1, 2, 2))):
                values[name] = dict(shape=lambda: rng.choice(SHAPES), colour=lambda: rng.choice(tuple(COLOURS)),
                                    texture=draw_texture, size=draw_size)[name]()
            if allowed(values['shape'], values['colour']) or (first is not None and
                                                              (values['shape'], values['colour']) ==
                                                              (first.shape, first.colour)):
                return Attributes(**values)

    objects.append(first if first is not None else draw_new())
    if twin:
        objects.append(Attributes(objects[0].shape, objects[0].colour, draw_texture(), draw_size()))
    while len(objects) < count:
        similar = rng.random() < difficulty.similar
        objects.append(draw_similar(rng.choice(objects)) if similar else draw_new())
    rng.shuffle(objects)
    return objects
