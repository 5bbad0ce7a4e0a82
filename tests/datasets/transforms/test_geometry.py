import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmseg_ris_kd.datasets.transforms import swap_left_right


@pytest.mark.parametrize('text,expected', [
    ('man on the left', 'man on the right'),
    ('RIGHT guy, Left of the tree', 'LEFT guy, Right of the tree'),
    ('leftmost zebra', 'rightmost zebra'),
    ('Rightmost', 'Leftmost'),
    ('left-hand side', 'right-hand side'),
    ('lefthand glove rightside', 'righthand glove leftside'),
    ('lefty and righty', 'righty and lefty'),
    ('facing leftwards, leftward', 'facing rightwards, rightward'),
    ('left/right', 'right/left'),
    ("the left's", "the right's"),
    ('2nd from left.', '2nd from right.'),
    ('bright light, alright, leftovers, upright, outright, cleft, copyright',
     'bright light, alright, leftovers, upright, outright, cleft, copyright'),
    ('righteous man', 'righteous man'),
    ('à gauche 🐕 left 左', 'à gauche 🐕 right 左'),
    ('', ''),
])
def test_swap(text, expected):
    assert swap_left_right(text) == expected
    assert swap_left_right(expected) == text


def record():
    img = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    return dict(img=img, gt_seg_map=img[:, :, 0].copy(), seg_fields=['gt_seg_map'], expression='left cup')


def flip(prob, results=None):
    return TRANSFORMS.build(dict(type='RandomReferringFlip', prob=prob))(results or record())


def test_image_target_and_expression_change_together():
    results, before = flip(1.0), record()
    for x in range(5):
        assert (results['img'][:, x] == before['img'][:, 4 - x]).all()
        assert (results['gt_seg_map'][:, x] == before['gt_seg_map'][:, 4 - x]).all()
    assert results['expression'] == 'right cup'
    assert (results['flip'], results['flip_direction']) == (True, 'horizontal')
    assert results['img'].flags.c_contiguous


def test_probability_zero_changes_nothing():
    results, before = flip(0), record()
    assert (results['img'] == before['img']).all() and results['expression'] == 'left cup'
    assert (results['flip'], results['flip_direction']) == (False, None)


def test_probability_is_met():
    np.random.seed(0)
    assert abs(sum(flip(0.3)['flip'] for _ in range(2000)) - 600) < 100


@pytest.mark.parametrize('prob', [-0.1, 1.1, 'half', True, None])
def test_no_probability(prob):
    with pytest.raises(ValueError, match=r'prob must be a number in \[0, 1\]'):
        flip(prob)


def test_needs_the_chosen_expression():
    with pytest.raises(KeyError, match='put SampleExpression before it'):
        flip(0.5, dict(img=np.zeros((2, 2, 3))))
