from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmseg_ris_kd.models.losses import SKDPairwiseLoss


def by_loops(student, teacher):
    """Four regions of a (2, 3, 4, 4) feature."""
    total = 0.
    for n in range(2):
        similarities = []
        for feature in (student[n], teacher[n]):
            regions = [feature[:, y:y + 2, x:x + 2].amax(dim=(1, 2)) for y in (0, 2) for x in (0, 2)]
            regions = [region / region.norm() for region in regions]
            similarities.append([[float(a @ b) for b in regions] for a in regions])
        total += sum((a - b)**2 for rows in zip(*similarities) for a, b in zip(*rows)) / 16 / 2
    return total


def test_by_loops(golden_pair):
    assert SKDPairwiseLoss(scale=0.5).compare(*golden_pair).item() == pytest.approx(by_loops(*golden_pair), rel=1e-6)


def test_an_odd_side_has_a_cut_region():
    """Windows of 2 x 2 on 5 x 5 positions: nine regions, the last ones of one row or column."""
    generator = torch.Generator().manual_seed(0)
    pair = [torch.randn(1, 3, 5, 5, generator=generator) for _ in range(2)]
    similarities = []
    for feature in pair:
        regions = torch.stack([feature[0, :, y:y + 2, x:x + 2].amax(dim=(1, 2)) for y in (0, 2, 4) for x in (0, 2, 4)])
        regions = F.normalize(regions, dim=1)
        similarities.append(regions @ regions.T)
    expected = (similarities[0] - similarities[1]).square().mean().item()
    assert SKDPairwiseLoss(scale=0.5).compare(*pair).item() == pytest.approx(expected, rel=1e-5)


def test_the_norm_is_a_constant_to_the_gradient(golden_pair):
    """Published code detaches the norm: a feature's length then has a gradient, unlike that of a cosine."""
    student, teacher = golden_pair
    student = student.clone().requires_grad_()
    SKDPairwiseLoss(scale=0.25).compare(student, teacher).backward()  # windows of one position
    along = (student.grad * student).sum(dim=1)
    assert along.abs().max() > 1e-4


def test_invalid():
    with pytest.raises(ValueError, match='scale is a share'):
        SKDPairwiseLoss(scale=0.)
    assert torch.isfinite(SKDPairwiseLoss(scale=1.).compare(torch.randn(1, 2, 3, 5), torch.randn(1, 4, 3, 5)))
