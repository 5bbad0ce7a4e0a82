import json
import sys

import numpy as np
import pytest

from mmseg_ris_kd.datasets.refer import SegmentationError, decode_target

coco_mask = pytest.importorskip('pycocotools.mask')


def _box(x1, y1, x2, y2):
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def _rectangle(x1, y1, x2, y2, height=6, width=8):
    mask = np.zeros((height, width), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def _runs(mask):
    """Run lengths of a mask, pixel by pixel, column by column."""
    counts, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def _rle(mask, kind):
    if kind == 'runs':
        return dict(size=list(mask.shape), counts=_runs(mask))
    rle = coco_mask.encode(np.asfortranarray(mask))
    return dict(size=list(mask.shape), counts=rle['counts'] if kind == 'bytes' else rle['counts'].decode())


def test_no_target_is_all_background():
    mask = decode_target([], 6, 8)
    assert mask.shape == (6, 8) and mask.dtype == np.uint8 and not mask.any()


@pytest.mark.parametrize('overlap', ['union', 'sum'])
def test_one_polygon(overlap):
    mask = decode_target([[_box(1, 2, 5, 4)]], 6, 8, overlap)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, _rectangle(1, 2, 5, 4))


def test_overlapping_parts_of_one_annotation():
    first, second = _rectangle(1, 1, 5, 4), _rectangle(3, 2, 7, 5)
    segmentation = [_box(1, 1, 5, 4), _box(3, 2, 7, 5)]
    np.testing.assert_array_equal(decode_target([segmentation], 6, 8), first | second)
    np.testing.assert_array_equal(decode_target([segmentation], 6, 8, 'sum'), first ^ second)


@pytest.mark.parametrize('overlap', ['union', 'sum'])
def test_several_annotations_are_always_joined(overlap):
    targets = [[_box(1, 1, 5, 4)], [_box(3, 2, 7, 5)], _rle(_rectangle(0, 0, 2, 2), 'text')]
    expected = _rectangle(1, 1, 5, 4) | _rectangle(3, 2, 7, 5) | _rectangle(0, 0, 2, 2)
    np.testing.assert_array_equal(decode_target(targets, 6, 8, overlap), expected)


@pytest.mark.parametrize('kind', ['runs', 'text', 'bytes'])
@pytest.mark.parametrize('overlap', ['union', 'sum'])
def test_rle(kind, overlap):
    generator = np.random.default_rng(0)
    for density in (0, 0.02, 0.5, 0.98, 1):
        mask = (generator.random((37, 53)) < density).astype(np.uint8)
        np.testing.assert_array_equal(decode_target([_rle(mask, kind)], 37, 53, overlap), mask)


def test_rle_with_long_runs():
    mask = np.zeros((900, 1200), np.uint8)
    mask[100:800, 300:301], mask[5, 900:], mask[400:, 1000:1100] = 1, 1, 1
    np.testing.assert_array_equal(decode_target([_rle(mask, 'text')], 900, 1200), mask)


def test_rle_by_hand():
    # 2 x 3 image, columns first: 0 1 | 1 1 | 0 0; runs 1, 3, 2, a digit each: chr(48 + n)
    expected = np.array([[0, 1, 0], [1, 1, 0]], np.uint8)
    for counts in ([1, 3, 2], '132', b'132'):
        np.testing.assert_array_equal(decode_target([dict(size=[2, 3], counts=counts)], 2, 3), expected)


@pytest.mark.parametrize('kind', ['runs', 'text'])
def test_list_of_rles(kind):
    first, second = _rectangle(1, 1, 5, 4), _rectangle(3, 2, 7, 5)
    segmentation = [_rle(first, kind), _rle(second, kind)]
    np.testing.assert_array_equal(decode_target([segmentation], 6, 8), first | second)
    np.testing.assert_array_equal(decode_target([segmentation], 6, 8, 'sum'), first ^ second)


def test_real_polygons_against_pycocotools(shared_data):
    content = json.loads((shared_data / 'coco' / 'instances.json').read_text())
    sizes = {image['id']: (image['height'], image['width']) for image in content['images']}
    parts = 0
    for annotation in content['annotations']:
        height, width = sizes[annotation['image_id']]
        single = [coco_mask.decode(coco_mask.frPyObjects([polygon], height, width))[..., 0]
                  for polygon in annotation['segmentation']]
        covered = np.sum(single, axis=0)
        np.testing.assert_array_equal(decode_target([annotation['segmentation']], height, width), covered > 0)
        np.testing.assert_array_equal(decode_target([annotation['segmentation']], height, width, 'sum'), covered == 1)
        parts = max(parts, len(single))
    assert parts == 4


def test_real_rles_against_pycocotools_and_area(shared_data):
    content = json.loads((shared_data / 'refer' / 'refcoco' / 'instances.json').read_text())
    for annotation in content['annotations']:
        rle = annotation['segmentation']
        mask = decode_target([rle], *rle['size'])
        np.testing.assert_array_equal(mask, coco_mask.decode(rle))
        assert mask.sum() == annotation['area']


@pytest.mark.parametrize('segmentation, kind, message', [
    ([[0, 0, 4, 4]], 'polygon', '2 points'),  # pycocotools would draw a box
    ([_box(0, 0, 4, 4), [0, 0, 4, 4, 2]], 'polygon', 'odd number of coordinates'),
    ([[0, 0, 4, 4, float('nan'), 0]], 'polygon', 'not a finite number'),
    ([[0, 0, 4, 4, 'x', 0]], 'polygon', 'not a finite number'),
    ([[0, 0, 4, 4, 10**400, 0]], 'polygon', 'not a finite number'),
    ([], 'segmentation', 'expected a list of polygons'),
    (None, 'segmentation', 'None'),
    ([0, 0, 4, 4, 5, 0], 'segmentation', 'a part of the segmentation is 0'),
    (dict(size=[8, 6], counts=[48]), 'rle', r'size \[8, 6\] .* image has \[6, 8\]'),
    (dict(counts=[48]), 'rle', 'size None'),
    (dict(size=[6, 8]), 'rle', 'counts are None'),
    (dict(size=[6, 8], counts=[40]), 'rle', 'do not add up to the 48 pixels .*sum 40'),  # pycocotools: random memory
    (dict(size=[6, 8], counts=[-2, 50]), 'rle', 'add up'),
    (dict(size=[6, 8], counts=[2**62, 2**62, 2**62, 2**62 + 48]), 'rle', 'add up'),  # 48 in 64 bits
    (dict(size=[6, 8], counts=[1.5, 46.5]), 'rle', 'expected a list of run lengths'),
    (dict(size=[6, 8], counts=[[48]]), 'rle', 'expected a list of run lengths'),
    (dict(size=[6, 8], counts=[[48], 1]), 'rle', 'an RLE cannot be read'),
    (dict(size=[6, 8], counts=''), 'rle', 'empty, cut off'),
    (dict(size=[6, 8], counts='0'), 'rle', 'sum 0'),
    (dict(size=[6, 8], counts='P'), 'rle', 'cut off'),
    (dict(size=[6, 8], counts='dé'), 'rle', 'an RLE cannot be read'),
    (dict(size=[6, 8], counts='oooooooooooooooo0'), 'rle', 'impossible run length'),
])
def test_bad_segmentations(segmentation, kind, message):
    with pytest.raises(SegmentationError, match=message) as info:
        decode_target([segmentation], 6, 8)
    assert info.value.kind == kind


def test_unknown_overlap():
    with pytest.raises(ValueError, match="overlap must be one of .*'xor'"):
        decode_target([], 6, 8, 'xor')


def test_without_pycocotools(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(ImportError, match='pip install pycocotools'):
        decode_target([[_box(1, 1, 5, 4)]], 6, 8)
    assert decode_target([_rle(_rectangle(1, 1, 5, 4), 'runs')], 6, 8).sum() == 12  # RLEs need none
