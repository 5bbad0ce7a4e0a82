"""Turns COCO segmentations into target masks."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

OVERLAPS = ('union', 'sum')


class SegmentationError(ValueError):
    """A segmentation that no mask can be made of.

    Args:
        kind: ``'polygon'``, ``'rle'`` or ``'segmentation'`` (neither of the two).
        message: What is wrong.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def decode_target(targets: Sequence[Any], height: int, width: int, overlap: str = 'union') -> np.ndarray:
    """Draws the target mask of a ref.

    Formats: COCO, https://cocodataset.org/#format-data, and the lists of RLEs of RefClef.

    Args:
        targets: COCO ``segmentation`` values, one per annotation of the ref: a list of polygons
            ``[x1, y1, x2, y2, ...]`` in pixels, an RLE dict (``size`` and compressed or uncompressed ``counts``), or a
            list of RLE dicts. Empty for an expression without a target.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        overlap: What pixels covered by several parts of *one* annotation are. ``'union'``: foreground. ``'sum'``:
            the reading of LAVT, which adds the parts and takes only pixels that are covered exactly once. Several
            annotations are always joined.

    Returns:
        Array with shape (height, width) and dtype uint8, 1 inside the target and 0 outside.

    Raises:
        ValueError: If ``overlap`` is unknown; as a :class:`SegmentationError` if a segmentation is not valid or an RLE
            has another size than the image.
        ImportError: If a polygon has to be drawn and ``pycocotools`` is missing.
    """
    check_overlap(overlap)
    target = np.zeros((height, width), dtype=bool)
    for segmentation in targets:
        polygons, runs = parse_segmentation(segmentation, height, width)
        parts = [_draw_runs(counts, height, width) for counts in runs]
        if polygons:
            parts.extend(_draw_polygons(polygons, height, width, merge=overlap == 'union'))
        target |= np.any(parts, axis=0) if overlap == 'union' else np.sum(parts, axis=0, dtype=np.int32) == 1
    return target.astype(np.uint8)


def check_overlap(overlap: str) -> None:
    """Refuses what :func:`decode_target` does not know.

    Raises:
        ValueError: If ``overlap`` is none of ``OVERLAPS``.
    """
    if overlap not in OVERLAPS:
        raise ValueError(f'overlap must be one of {OVERLAPS}, but got {overlap!r}')


def parse_segmentation(segmentation: Any, height: int, width: int) -> tuple[list[list[float]], list[np.ndarray]]:
    """Splits a COCO segmentation into its parts and checks each.

    Args:
        segmentation: One COCO ``segmentation`` value.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        The polygons, and the RLEs as run lengths: int64 arrays, background first, column by column, summing to
        height * width.

    Raises:
        SegmentationError: If a part is neither polygon nor RLE, a polygon has fewer than 3 points, an odd number of
            coordinates or a coordinate that is no finite number, or an RLE does not fit the image.
    """
    parts = [segmentation] if isinstance(segmentation, dict) else segmentation
    if not isinstance(parts, list) or not parts:
        raise SegmentationError('segmentation', f'the segmentation is {segmentation!r:.60}, expected a list of '
                                                'polygons, an RLE dict or a list of RLE dicts')
    polygons, runs = [], []
    for part in parts:
        if isinstance(part, dict):
            runs.append(_run_lengths(part, height, width))
        elif isinstance(part, list):
            _check_polygon(part)
            polygons.append(part)
        else:
            raise SegmentationError('segmentation', f'a part of the segmentation is {part!r:.60}, expected a polygon '
                                                    '(a list of coordinates) or an RLE dict')
    return polygons, runs


def _check_polygon(polygon: list[float]) -> None:
    if len(polygon) % 2:
        raise SegmentationError('polygon', f'a polygon has an odd number of coordinates ({len(polygon)})')
    if len(polygon) < 6:
        raise SegmentationError('polygon', f'a polygon has {len(polygon) // 2} points, at least 3 are needed')
    try:
        finite = math.isfinite(sum(polygon))
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        raise SegmentationError('polygon', f'a polygon has a coordinate that is not a finite number: {polygon!r:.80}')


def _run_lengths(rle: dict[str, Any], height: int, width: int) -> np.ndarray:
    size, counts = rle.get('size'), rle.get('counts')
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        raise SegmentationError('rle', f'an RLE has size {size!r:.40} (height, width), but the image has '
                                       f'[{height}, {width}]')
    try:
        if isinstance(counts, (str, bytes)):
            runs = _decompress(counts.encode('ascii') if isinstance(counts, str) else counts)
        else:
            runs = np.asarray(counts)
            if runs.ndim != 1 or runs.dtype.kind not in 'iu':
                raise ValueError(f'its counts are {counts!r:.40}, expected a list of run lengths or a string')
            runs = runs.astype(np.int64)
        pixels = height * width
        if runs.size == 0 or runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
            raise ValueError(f'its runs do not add up to the {pixels} pixels of the image, sum {runs.sum()}')
    except ValueError as error:
        raise SegmentationError('rle', f'an RLE cannot be read: {error}') from None
    return runs


def _decompress(text: bytes) -> np.ndarray:
    """Run lengths of COCO's compressed counts: base-32 digits, each run from the fourth on as a difference."""
    digits = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if digits.size == 0 or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        raise ValueError('its compressed counts are empty, cut off or hold foreign characters')
    last = np.flatnonzero(digits & 32 == 0)  # bit 5: the number goes on
    first = np.append(0, last[:-1] + 1)
    lengths = last - first + 1
    if lengths.max() > 7:
        raise ValueError('its compressed counts hold an impossible run length')
    place = np.arange(digits.size) - np.repeat(first, lengths)
    runs = np.add.reduceat((digits & 31) << 5 * place, first)
    runs -= np.where(digits[last] & 16, 1 << 5 * lengths, 0)  # bit 4 of the last digit: the number is negative
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _draw_runs(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T  # columns first -> H x W


def _draw_polygons(polygons: list[list[float]], height: int, width: int, *, merge: bool) -> list[np.ndarray]:
    try:
        from pycocotools import mask as coco_mask
    except ImportError as error:
        raise ImportError('Drawing polygon annotations needs pycocotools, which cannot be imported '
                          f'({error}). Run "pip install pycocotools".') from error
    rles = coco_mask.frPyObjects(polygons, height, width)
    if merge:
        return [coco_mask.decode(coco_mask.merge(rles)).astype(bool)]
    return list(np.moveaxis(coco_mask.decode(rles), -1, 0).astype(bool))  # H x W x parts -> parts x H x W
