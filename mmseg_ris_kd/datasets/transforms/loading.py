"""Load the image and the target mask of a referring record."""
from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmseg.registry import TRANSFORMS

from ..refer.masks import check_overlap, decode_target


@TRANSFORMS.register_module()
class LoadReferringImage(BaseTransform):
    """Load the image of a record as three channels, BGR, in the orientation in which it was annotated.

    Pillow decodes it: a grayscale JPEG becomes three equal channels, the EXIF orientation is ignored (COCO annotates
    the pixels as stored) and a truncated file is an error instead of a half grey image.

    Reads ``img_path`` and, where the record has them, ``height``, ``width``, ``ref_id`` and ``img_id``. Writes ``img``
    (H, W, 3) uint8, ``img_shape`` and ``ori_shape`` (H, W).

    Args:
        backend_args: Arguments of mmengine's file backend, for images that are not on a local disk.

    Raises:
        FileNotFoundError: The image does not exist.
        ValueError: The image cannot be decoded, or its size is not the one the annotation file states.
    """

    def __init__(self, *, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add the image to ``results``."""
        path = results['img_path']
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'image {path!r} ({describe_record(results)}) does not exist: add it to the folder that '
                'data_prefix.img_path names, or leave such records out with on_invalid=\'skip\'') from error
        try:
            img = mmcv.imfrombytes(content, flag='color_ignore_orientation', backend='pillow')
        except Exception as error:  # pillow raises OSError, SyntaxError, ValueError, struct.error, ...
            raise ValueError(f'image {path!r} ({describe_record(results)}, {len(content)} bytes) cannot be decoded '
                             f'({error}): the file is damaged or no image, download it again') from error
        expected = (results.get('height'), results.get('width'))
        if None not in expected and img.shape[:2] != expected:
            raise ValueError(
                f'image {path!r} ({describe_record(results)}) has height x width {img.shape[0]} x {img.shape[1]}, but '
                f'the annotation file states {expected[0]} x {expected[1]}: its masks would not fit. Use the image '
                'the annotations were made for (not a resized or rotated copy), or check data_prefix.img_path')
        results['img'] = np.ascontiguousarray(img)
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args})'


@TRANSFORMS.register_module()
class LoadReferringMask(BaseTransform):
    """Decode the target mask of a record from its COCO segmentations, at the original image size.

    Put it before the resize in training, where image and target are resized together, and after it at test, where the
    prediction is compared at the original size.

    Reads ``targets``, ``height`` and ``width``. Writes ``gt_seg_map`` (H, W) uint8 in {0, 1}, adds it to
    ``seg_fields``, and writes ``no_target`` (True when the record has no annotation at all: gRefCOCO).

    Args:
        overlap: ``'union'``: a pixel belongs to the target when any part covers it. ``'sum'``: parts are added up and
            only a sum of 1 is target, so where two parts of one annotation overlap is background; this is how
            `LAVT <https://arxiv.org/abs/2112.02244>`_ reads its masks.

    Raises:
        ValueError: ``overlap`` is unknown, the image is already mirrored, or an annotation cannot be decoded.
    """

    def __init__(self, overlap: str = 'union') -> None:
        check_overlap(overlap)
        self.overlap = overlap

    def transform(self, results: dict) -> dict:
        """Add the target mask to ``results``."""
        if results.get('flip'):
            raise ValueError('LoadReferringMask comes after a flip, so image and target mask would not fit: put it '
                             'before the flip in the pipeline')
        try:
            mask = decode_target(results['targets'], results['height'], results['width'], overlap=self.overlap)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f'the target mask of {describe_record(results)} cannot be decoded: {error}. Repair the '
                             'annotation, or leave such refs out with on_invalid=\'skip\'') from error
        results['gt_seg_map'] = mask
        results.setdefault('seg_fields', []).append('gt_seg_map')
        results['no_target'] = not results['targets']
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(overlap={self.overlap!r})'


def describe_record(results: dict) -> str:
    """Name a record in an error message by the ids it has."""
    keys = [key for key in ('dataset', 'split', 'ref_id', 'ann_id', 'img_id') if key in results]
    return ', '.join(f'{key} {results[key]}' for key in keys) or 'a record without ids'
