from __future__ import annotations

import pytest
import torch

from mmseg_ris_kd.models.losses import MGDLoss


def test_regenerates_what_is_left(make):
    student, teacher = make(seed=1), make(seed=2, channels=(5, 6, 7, 8))
    loss = MGDLoss(mask_ratio=0.5, stages=(0, 1))
    loss.connect(make.channels(student), make.channels(teacher))
    loss.double()
    torch.manual_seed(5)
    value = loss(student, teacher)['loss_mgd'].item()
    torch.manual_seed(5)
    expected = 0.
    assert len(loss.adapters) == 2
    for stage, generator in enumerate(loss.generators):
        feature = loss.adapters[str(stage)](student.fused[stage])
        kept = torch.rand(feature.shape[0], 1, *feature.shape[2:], dtype=torch.float64) >= 0.5
        first, activation, second = generator
        regenerated = second(activation(first(feature * kept)))
        expected += float((regenerated - teacher.fused[stage]).square().sum() / 2) / 2
    assert value == pytest.approx(expected)


def test_share_of_the_mask():
    loss = MGDLoss(mask_ratio=0.25)
    torch.manual_seed(0)
    masked = loss._mask(torch.ones(1, 3, 200, 200))
    assert (masked == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert ((masked.sum(dim=1) == 0) | (masked.sum(dim=1) == 3)).all()  # the same for all channels


def test_invalid():
    with pytest.raises(ValueError, match='mask_ratio is a share'):
        MGDLoss(mask_ratio=1.)
