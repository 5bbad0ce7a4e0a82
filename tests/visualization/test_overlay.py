"""Where the outline and the fill are drawn, to the pixel."""
from __future__ import annotations

import numpy as np
import pytest

from mmseg_ris_kd.visualization.overlay import (
    FILL_OPACITY,
    HALO_COLOR,
    LIGHT_COLOR,
    PREDICTION_COLOR,
    SUPERSAMPLING,
    TARGET_COLOR,
    draw_overlay,
    scale_image,
    signed_distance,
)

GREY = 90


def grey(height, width):
    return np.full((height, width, 3), GREY, np.uint8)


def square(height, width, top, left, bottom, right):
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def near(pixels, color, tolerance=1):
    return np.all(np.abs(pixels.astype(int) - np.array(color)) <= tolerance, axis=-1)


def test_outline_lies_on_the_border_and_leaves_inside_and_outside_untouched():
    # line 4 px wide on the border between columns 19 and 20: bright 18..21, halo to 3.6 px on both sides
    drawn = draw_overlay(grey(80, 80), (80, 80), target=square(80, 80, 20, 20, 60, 60), line_width=4)
    middle_row = drawn[40]
    assert near(middle_row[18:22], TARGET_COLOR, 2).all()
    assert near(middle_row[[17, 22]], HALO_COLOR, 40).all()
    assert near(drawn[26:54, 26:54], (GREY,) * 3).all()
    assert near(middle_row[:15], (GREY,) * 3).all() and near(middle_row[65:], (GREY,) * 3).all()


def test_prediction_is_a_hatched_fill_with_a_light_and_a_dark_edge():
    drawn = draw_overlay(grey(80, 80), (80, 80), prediction=square(80, 80, 20, 20, 60, 60), line_width=4)
    assert near(drawn[40, 20:22], PREDICTION_COLOR, 2).all()
    assert near(drawn[40, 22], LIGHT_COLOR, 2) and near(drawn[40, 19], HALO_COLOR, 2)
    assert near(drawn[40, :18], (GREY,) * 3).all() and near(drawn[40, 62:], (GREY,) * 3).all()
    fill = np.rint(GREY + FILL_OPACITY * (np.array(PREDICTION_COLOR) - GREY))
    inside = drawn[26:54, 26:54]
    assert 0.5 < near(inside, fill).mean() < 0.9  # between the hatch lines
    assert (inside > fill + 30).all(axis=-1).any() and (inside < fill - 30).all(axis=-1).any()


@pytest.mark.parametrize('color', [PREDICTION_COLOR, (240, 130, 190), (130, 60, 170), (0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize('with_target', [False, True])
def test_prediction_shows_on_any_color(color, with_target):
    """Inside the prediction, brightness differs from the image's by a quarter of its range, outlined target or not."""
    image, mask = np.full((80, 80, 3), color, np.uint8), square(80, 80, 20, 20, 60, 60)
    drawn = draw_overlay(image, (80, 80), target=mask if with_target else None, prediction=mask)
    change = np.abs(drawn[26:54, 26:54].mean(axis=-1) - np.mean(color))
    assert change.max() > 64


def test_target_lies_over_the_prediction():
    mask = square(80, 80, 20, 20, 60, 60)
    drawn = draw_overlay(grey(80, 80), (80, 80), target=mask, prediction=mask, line_width=4)
    assert near(drawn[40, 18:22], TARGET_COLOR, 2).all()


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.int64])
def test_mask_types_draw_the_same(dtype):
    mask = square(40, 40, 10, 10, 30, 30)
    drawn = draw_overlay(grey(40, 40), (80, 80), target=mask.astype(dtype), prediction=mask.astype(dtype))
    assert np.array_equal(drawn, draw_overlay(grey(40, 40), (80, 80), target=mask, prediction=mask))


def test_empty_and_missing_masks_draw_nothing():
    empty = np.zeros((40, 40), bool)
    for target, prediction in ((None, None), (empty, empty)):
        drawn = draw_overlay(grey(40, 40), (60, 60), target=target, prediction=prediction)
        assert drawn.shape == (60, 60, 3) and near(drawn, (GREY,) * 3).all()


def test_mask_touching_the_image_edge_is_closed_there():
    drawn = draw_overlay(grey(40, 40), (40, 40), target=np.ones((40, 40), bool), line_width=4)
    assert near(drawn[0, 5:35], TARGET_COLOR, 2).all() and near(drawn[5:35, -1], TARGET_COLOR, 2).all()
    assert near(drawn[8:32, 8:32], (GREY,) * 3).all()


def test_a_single_pixel_of_a_large_image_does_not_vanish():
    mask = np.zeros((3000, 3000), bool)
    mask[1500, 1500] = True
    drawn = draw_overlay(grey(3000, 3000), (100, 100), target=mask)
    rows, columns = np.nonzero((drawn[..., 0] > 200) & (drawn[..., 2] < 80))
    assert len(rows) > 0 and abs(rows.mean() - 50) < 2 and abs(columns.mean() - 50) < 2


def test_signed_distance_of_a_half_plane_is_the_distance_to_the_border_at_every_scale():
    mask = np.zeros((48, 48), bool)
    mask[:, 24:] = True
    for scale in (1, 2, 4):
        size = 48 * scale
        # the right edge of the image is a border too: look at the left three quarters only
        columns = (np.arange(size * SUPERSAMPLING) + 0.5) / SUPERSAMPLING
        kept = columns < 0.7 * size
        expected = (24 * scale - columns)[kept]
        found = signed_distance(mask, (size, size))[size * SUPERSAMPLING // 2][kept]
        np.testing.assert_allclose(found, expected, atol=1.01 / SUPERSAMPLING)


def test_rounding_of_enlarged_pixels_loses_none_of_them():
    mask = np.zeros((24, 24), bool)
    mask[5, 5] = mask[12, 3:20] = mask[16:22, 16:22] = True
    distance = signed_distance(mask, (240, 240))
    centre = 10 * SUPERSAMPLING // 2
    assert ((distance[centre::2 * centre, centre::2 * centre] < 0) == mask).all()


def test_outline_of_an_upscaled_disc_is_a_smooth_circle():
    rows, columns = np.mgrid[:96, :96]
    disc = (rows - 47.5)**2 + (columns - 47.5)**2 < 30**2
    drawn = draw_overlay(grey(96, 96), (384, 384), target=disc, line_width=3)
    rows, columns = np.nonzero(near(drawn, TARGET_COLOR, 3))
    radius = np.hypot(rows - 191.5, columns - 191.5)
    assert abs(radius.mean() - 120) < 1.0
    assert radius.max() - radius.min() < 5  # the line is 3 px wide; a staircase of enlarged pixels would be 7 wide


def test_scale_image_keeps_a_smooth_ramp_smooth():
    ramp = np.repeat(np.linspace(0, 255, 32, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(32, axis=0)
    scaled = scale_image(ramp, (256, 128)).astype(int)
    assert scaled.shape == (128, 256, 3)
    assert np.abs(np.diff(scaled[64, :, 0])).max() <= 3  # nearest would jump by 8
    assert scale_image(ramp, (32, 32)) is ramp
