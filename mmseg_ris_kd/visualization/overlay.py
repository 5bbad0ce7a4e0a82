"""Draw a target mask and a predicted mask over an image, at display resolution."""
from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

# RGB. Yellow and magenta stay apart for every common form of colour blindness (one keeps its hue, the other turns
# bluish) and in a grey print, and magenta is rare in photographs: a fill is not mistaken for the object's own colour.
TARGET_COLOR = (255, 222, 33)
PREDICTION_COLOR = (235, 40, 175)
HALO_COLOR = (16, 16, 20)
LIGHT_COLOR = (255, 255, 255)
FILL_OPACITY = 0.45
HATCH_OPACITY = 0.6
HATCH_PERIOD = 5  # line widths from one hatch line to the next
# Sub-pixels per display pixel and axis: masks are drawn this much larger and averaged, which smooths their edges.
SUPERSAMPLING = 3


def draw_overlay(image: np.ndarray,
                 size: tuple[int, int],
                 *,
                 target: np.ndarray | None = None,
                 prediction: np.ndarray | None = None,
                 line_width: float = 2.5) -> np.ndarray:
    """Scale an image and draw the prediction as a hatched, translucent fill and the target as an outline over it.

    Edge and hatching of the prediction pair a dark line with a light one: one of them shows on any colour.

    Args:
        image: RGB image, uint8, (H, W, 3).
        size: Width and height of the result, in pixels.
        target: Mask (H, W), nonzero where the target is; None or an empty mask draws no outline.
        prediction: Mask (H, W), nonzero where the prediction is.
        line_width: Width of the target's bright line in pixels; a dark halo of 0.4 line widths lies on both sides, so
            that it shows on any background.

    Returns:
        The drawing, uint8, (size[1], size[0], 3).
    """
    canvas = scale_image(image, size).astype(np.float32)
    if prediction is not None and np.any(prediction):
        distance = signed_distance(prediction, size)
        _blend(canvas, PREDICTION_COLOR, FILL_OPACITY * _coverage(distance, size))
        hatch = _hatch(distance.shape, HATCH_PERIOD * line_width)
        for color, low, high in ((LIGHT_COLOR, -0.4, 0), (HALO_COLOR, 0, 0.4)):
            line = np.maximum(_band(hatch, low * line_width, high * line_width), distance)
            _blend(canvas, color, HATCH_OPACITY * _coverage(line, size))
        for color, low, high in ((LIGHT_COLOR, -0.9, -0.5), (PREDICTION_COLOR, -0.5, 0), (HALO_COLOR, 0, 0.4)):
            _blend(canvas, color, _coverage(_band(distance, low * line_width, high * line_width), size))
    if target is not None and np.any(target):
        distance = signed_distance(target, size)
        _blend(canvas, HALO_COLOR, 0.85 * _coverage(np.abs(distance) - 0.9 * line_width, size))
        _blend(canvas, TARGET_COLOR, _coverage(np.abs(distance) - 0.5 * line_width, size))
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def scale_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an RGB image (H, W, 3), uint8, to ``size`` (width, height): antialiased down, smooth up."""
    if (image.shape[1], image.shape[0]) == tuple(size):
        return image
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BICUBIC))


def signed_distance(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Distance of every sub-pixel to the mask's border: negative inside, positive outside.

    Everything beyond the image counts as outside, so that a mask cut by the image's edge is outlined there too.

    Args:
        mask: Mask (H, W), with at least one nonzero element.
        size: Width and height of the drawing, in pixels.

    Returns:
        float32 (size[1] * SUPERSAMPLING, size[0] * SUPERSAMPLING), in pixels of the drawing.
    """
    source = (np.asarray(mask) != 0).astype(np.float32)
    fine_size = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    shrinks = fine_size[0] < source.shape[1]
    fine = cv2.resize(source, fine_size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    inside = fine >= 0.5
    zoom = fine_size[0] / source.shape[1]
    if zoom > 1.5 * SUPERSAMPLING:  # round the staircase of enlarged pixels, but keep the centre of every one
        inside = (cv2.GaussianBlur(fine, (0, 0), 0.6 * zoom) >= 0.5) | (fine >= 0.95)
    if not inside.any():  # a target of a few pixels in a large image must not vanish
        inside = fine == fine.max()
    inside = np.pad(inside.astype(np.uint8), 1)
    # distanceTransform measures to the centre of the nearest pixel on the other side: the border is half a pixel before
    outer = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    inner = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    return np.where(inside, -inner, outer)[1:-1, 1:-1].astype(np.float32) / SUPERSAMPLING


def _hatch(shape: tuple[int, int], period: float) -> np.ndarray:
    """Signed distance of every sub-pixel to the nearest diagonal line of a pattern, in pixels of the drawing."""
    rows, columns = np.ogrid[:shape[0], :shape[1]]
    across = ((rows + columns) / (SUPERSAMPLING * 2**0.5)).astype(np.float32)
    return (across + period / 2) % period - period / 2


def _band(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Negative where ``values`` lie between ``low`` and ``high``: the distance to that band."""
    return np.maximum(low - values, values - high)


def _coverage(distance: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Share of each display pixel that lies where ``distance`` is negative: (size[1], size[0]) in [0, 1]."""
    fine = np.clip(0.5 - distance * SUPERSAMPLING, 0, 1)
    return cv2.resize(fine, tuple(size), interpolation=cv2.INTER_AREA)


def _blend(canvas: np.ndarray, color: tuple[int, int, int], opacity: np.ndarray) -> None:
    """Lay a colour over a float canvas (H, W, 3) in place, with the opacity (H, W) in [0, 1]."""
    canvas += opacity[..., None] * (np.array(color, np.float32) - canvas)
