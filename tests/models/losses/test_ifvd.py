from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mmseg_ris_kd.models.losses import IFVDLoss


def by_loops(student, teacher, target):
    total, count = 0., 0
    for ours, theirs, mask in zip(student, teacher, target):
        pixels = [(y, x) for y in range(mask.shape[0]) for x in range(mask.shape[1])]
        for y, x in pixels:
            similarities = []
            for feature in (ours, theirs):
                mean = torch.stack([feature[:, v, u] for v, u in pixels if mask[v, u] == mask[y, x]]).mean(0)
                similarities.append(F.cosine_similarity(feature[:, y, x], mean, dim=0))
            total += float((similarities[0] - similarities[1])**2)
            count += 1
    return total / count


def test_by_loops(golden_pair):
    target = (torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.5).long()
    assert IFVDLoss().compare(*golden_pair, target).item() == pytest.approx(by_loops(*golden_pair, target), rel=1e-9)


def test_ignored_pixels_are_in_no_class(golden_pair, make):
    """Nearest neighbour of an 8 x 8 target, whose ignored pixels add nothing and shift no mean."""
    target = (torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.5).long()
    target[:, 1, 2] = 255
    large = target.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    large[:, 1::2] = 0  # rows that nearest neighbour does not see
    student, teacher = (replace(make(seed=1), fused=(feature, ), target=large) for feature in golden_pair)
    loss = IFVDLoss(stages=(0, ))(student, teacher)['loss_ifvd'].item()
    # to the loops the ignored pixel is a class of its own, whose mean it is in both models
    assert loss == pytest.approx(by_loops(*golden_pair, target), rel=1e-9)


def test_an_image_with_one_class(golden_pair):
    student, teacher = golden_pair
    target = torch.zeros(2, 4, 4).long()
    target[1] = 1
    student = student.clone().requires_grad_()
    loss = IFVDLoss().compare(student, teacher, target)
    assert loss.item() == pytest.approx(by_loops(student.detach(), teacher, target), rel=1e-9)
    loss.backward()
    assert torch.isfinite(student.grad).all()


def test_needs_the_target(make):
    with pytest.raises(ValueError, match='RISFeatures.target'):
        IFVDLoss()(replace(make(seed=1), target=None), make(seed=2))
