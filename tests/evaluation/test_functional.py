"""Tests of the pure functions, against plain loops and numbers worked out by hand."""
import doctest
import importlib
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from mmseg_ris_kd.evaluation import functional


@pytest.mark.parametrize('name', ['functional', 'protocols', 'masks', 'sums', 'ris_metric'])
def test_docstring_examples(name, monkeypatch):
    module = importlib.import_module(f'mmseg_ris_kd.evaluation.{name}')
    monkeypatch.setattr(module, 'print_log', lambda *args, **kwargs: None, raising=False)
    result = doctest.testmod(module, extraglobs={'torch': torch, 'np': np})
    assert result.failed == 0 and result.attempted > 0


def random_masks(rng, n=None):
    n = rng.integers(1, 6) if n is None else n
    shape = (n, rng.integers(1, 9), rng.integers(1, 9))
    density = rng.choice([0, 0.2, 0.6, 1.0], size=(2, n, 1, 1))
    masks = rng.random((2, *shape)) < density
    return masks[0].astype(np.uint8), masks[1].astype(np.uint8)


def naive_counts(prediction, target):
    counts = [0, 0, 0, 0]
    for p, t in zip(prediction.ravel().tolist(), target.ravel().tolist()):
        for i, hit in enumerate((p and t, p or t, p, t)):
            counts[i] += bool(hit)
    return counts


@pytest.mark.parametrize('seed', range(40))
def test_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    prediction, target = random_masks(rng)
    counts = [naive_counts(p, t) for p, t in zip(prediction, target)]
    statistics = functional.mask_statistics(torch.from_numpy(prediction), target)
    assert np.stack([x.numpy() for x in statistics], 1).tolist() == counts

    empty_iou, eps = rng.choice([0.0, 1.0]), rng.choice([0.0, 1e-6])
    ious = []
    for i, u, _, _ in counts:
        ious.append(empty_iou if u + eps == 0 else float(Fraction(i) / (u + Fraction(float(eps)))))
    intersection, union = functional.intersection_and_union(prediction, target)
    torch.testing.assert_close(functional.iou(intersection, union, empty_iou=empty_iou, eps=eps),
                               torch.tensor(ious, dtype=torch.float64), rtol=1e-15, atol=0)
    thresholds = [0.0, 0.25, 0.5, 1.0]
    for comparison, compare in (('>=', float.__ge__), ('>', float.__gt__)):
        found = functional.exceeds(torch.tensor(ious, dtype=torch.float64), thresholds, comparison=comparison)
        assert found.tolist() == [[compare(v, x) for x in thresholds] for v in ious]


@pytest.mark.parametrize('empty_iou, eps, expected', [(1.0, 0.0, 1.0), (0.0, 0.0, 0.0), (1.0, 1e-6, 0.0)])
def test_both_masks_empty(empty_iou, eps, expected):
    assert functional.iou(torch.tensor([0]), torch.tensor([0]), empty_iou=empty_iou, eps=eps).item() == expected


@pytest.mark.parametrize('empty_iou', [0.0, 1.0, float('nan')])
def test_one_mask_empty_is_zero_under_every_policy(empty_iou):
    empty, full = np.zeros((2, 2)), np.ones((2, 2))
    for pair in ((empty, full), (full, empty)):
        assert functional.iou(*functional.intersection_and_union(*pair), empty_iou=empty_iou).item() == 0


def test_nan_policy_makes_the_mean_nan_and_reaches_no_threshold():
    values = functional.iou(torch.tensor([0, 1]), torch.tensor([0, 1]), empty_iou=float('nan'))
    assert math.isnan(values[0]) and math.isnan(values.mean())
    assert functional.exceeds(values, [0.0, 0.5]).tolist() == [[False, False], [True, True]]


def test_counts_of_large_masks_are_exact():
    mask = torch.ones(1, 5000, 5000, dtype=torch.uint8)  # float32 stops counting at 2 ** 24
    assert functional.intersection_and_union(mask, mask)[0].item() == 25_000_000


def test_iou_is_float64_so_that_a_third_reaches_a_third():
    assert functional.exceeds(functional.iou(torch.tensor([7]), torch.tensor([10])), [0.7]).item()
    assert not functional.exceeds(functional.iou(torch.tensor([7]), torch.tensor([10])), [0.7], comparison='>').item()


def test_clear_small_predictions():
    statistics = functional.MaskStatistics(*(torch.tensor(x) for x in ([3, 2, 0], [9, 8, 4], [5, 4, 4], [7, 6, 0])))
    cleared = functional.clear_small_predictions(statistics, min_area=5)
    assert [x.tolist() for x in cleared] == [[3, 0, 0], [9, 6, 0], [5, 0, 0], [7, 6, 0]]
    unchanged = functional.clear_small_predictions(statistics, min_area=1)
    assert all(torch.equal(a, b) for a, b in zip(unchanged, statistics))


def test_boolean_and_float_masks_are_accepted():
    mask = torch.tensor([[True, False]])
    assert [x.item() for x in functional.intersection_and_union(mask, mask.float())] == [1, 1]


@pytest.mark.parametrize('prediction, target, words', [
    (np.zeros((2, 3)), np.zeros((3, 2)), ['same shape', '(2, 3)', '(3, 2)']),
    (np.zeros((2, 3)), np.zeros((1, 2, 3)), ['same shape']),
    (np.zeros(3), np.zeros(3), ['`prediction`', '(H, W)', '(3,)']),
    (np.zeros((2, 2)), np.full((2, 2), 255), ['`target`', '255', '4 such pixels']),
    (np.full((2, 2), 0.3), np.zeros((2, 2)), ['`prediction`', '0.3']),
    (np.full((2, 2), np.nan), np.zeros((2, 2)), ['`prediction`', 'nan']),
])
def test_bad_masks_are_refused(prediction, target, words):
    with pytest.raises(ValueError) as error:
        functional.mask_statistics(prediction, target)
    assert all(word in str(error.value) for word in words)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match='comparison.*=='):
        functional.exceeds(torch.tensor([0.5]), [0.5], comparison='==')
    with pytest.raises(ValueError, match='same shape'):
        functional.iou(torch.tensor([1, 2]), torch.tensor([1]))
