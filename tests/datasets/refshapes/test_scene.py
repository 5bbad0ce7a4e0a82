from __future__ import annotations

import dataclasses
import random

import cv2
import numpy as np
import pytest

from mmseg_ris_kd.datasets.refshapes.drawing import COLOURS, SHAPES
from mmseg_ris_kd.datasets.refshapes.scene import DIFFICULTIES, Attributes, render_scene, sample_attributes

CLEAN = dataclasses.replace(DIFFICULTIES['medium'], noise=0.0, textured=0.0, spacing=0.5, min_visible=0.4)


def scenes(count, attributes=None, difficulty=CLEAN):
    rng = random.Random(11)
    while count:
        chosen = attributes or sample_attributes(rng, 5, difficulty, None, False, lambda shape, colour: True)
        scene = render_scene(rng, chosen, 96, difficulty)
        if scene is not None:
            count -= 1
            yield scene


def test_visible_pixels_show_the_colour_of_their_object():
    names = list(COLOURS)
    palette = np.array([COLOURS[name] for name in names], dtype=float)
    occluded = 0
    for scene in scenes(25):
        assert scene.image.dtype == np.uint8 and scene.image.shape == (96, 96, 3)
        for index, item in enumerate(scene.objects):
            mask = (scene.id_map == index).astype(np.uint8)
            occluded += item.visible < 0.9
            inner = cv2.erode(mask, np.ones((5, 5), np.uint8)).astype(bool)  # without the contours
            if inner.sum() < 10:
                continue
            pixels = scene.image[inner].astype(float)
            nearest = np.linalg.norm(pixels[:, None] - palette, axis=2).argmin(axis=1)
            assert (nearest == names.index(item.attributes.colour)).mean() > 0.97
        # what belongs to no object is greyish
        background = cv2.erode((scene.id_map < 0).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        assert np.ptp(scene.image[background].astype(int), axis=1).max() < 40
    assert occluded > 5


def test_centre_box_and_visible_share_are_those_of_the_visible_pixels():
    for scene in scenes(5):
        for index, item in enumerate(scene.objects):
            ys, xs = np.nonzero(scene.id_map == index)
            assert item.x * 96 == pytest.approx(xs.mean() + 0.5)
            assert item.y * 96 == pytest.approx(ys.mean() + 0.5)
            assert item.box == pytest.approx((xs.min() / 96, ys.min() / 96, (xs.max() + 1) / 96, (ys.max() + 1) / 96))
            assert CLEAN.min_visible <= item.visible <= 1


def test_front_most_object_is_whole():
    assert all(scene.objects[-1].visible == 1 for scene in scenes(10))


@pytest.mark.parametrize('shape', SHAPES)
def test_small_and_large_are_far_apart(shape):
    areas = {size: [(scene.id_map == 0).sum() for scene in scenes(8, [Attributes(shape, 'red', 'plain', size)])]
             for size in ('small', 'large')}
    assert min(areas['large']) > 1.7 * max(areas['small'])
    assert min(areas['small']) >= 80


def test_only_the_ring_has_a_hole():
    for shape in SHAPES:
        scene = next(scenes(1, [Attributes(shape, 'red', 'plain', 'large')]))
        item = scene.objects[0]
        middle = scene.id_map[int(item.y * 96), int(item.x * 96)]
        assert middle == (-1 if shape == 'ring' else 0)


@pytest.mark.parametrize('texture', ['striped', 'dotted', 'checkered'])
def test_textures_show_on_small_objects(texture):
    deviations = {name: [] for name in ('plain', texture)}
    for name, values in deviations.items():
        for scene in scenes(5, [Attributes('circle', 'blue', name, 'small')]):
            inner = cv2.erode((scene.id_map == 0).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
            values.append(scene.image[inner][:, 2].std())
    assert max(deviations['plain']) < 3 < 25 < min(deviations[texture])


def test_twins_and_forbidden_pairs():
    rng = random.Random(0)
    first = Attributes('ring', 'pink', 'plain', 'small')
    for _ in range(50):
        objects = sample_attributes(rng, 5, CLEAN, first, True, lambda shape, colour: shape != 'ring')
        rings = [item for item in objects if item.shape == 'ring']
        assert len(objects) == 5 and first in rings and len(rings) >= 2
        assert all(item.colour == 'pink' for item in rings)
