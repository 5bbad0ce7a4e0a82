from __future__ import annotations

import pytest
import torch

from mmseg_ris_kd.models.losses import CIRKDMiniBatchLoss


def test_golden(golden_pair):
    assert CIRKDMiniBatchLoss(tau=1.).compare(*golden_pair).item() == pytest.approx(0.4818412066, abs=1e-7)


def by_loops(student, teacher, tau):
    rows = []
    for i in range(len(student)):
        for j in range(len(student)):
            for p in range(student[0, 0].numel()):
                distributions = []
                for features in (student, teacher):
                    pixels = torch.nn.functional.normalize(features.flatten(2), dim=1)
                    distributions.append(((pixels[i, :, p] @ pixels[j]) / tau).softmax(dim=0))
                ours, theirs = distributions
                rows.append((theirs * (theirs / ours).log()).sum())
    return torch.stack(rows).mean()


def test_temperature(golden_pair):
    torch.testing.assert_close(CIRKDMiniBatchLoss(tau=0.1).compare(*golden_pair), by_loops(*golden_pair, 0.1))


def test_pooled(make):
    student, teacher = make(seed=1), make(seed=2)
    pooled = CIRKDMiniBatchLoss(grid=2, stages=(0, ))(student, teacher)['loss_cirkd']
    expected = by_loops(*(record.fused[0].unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(4, 5))
                          for record in (student, teacher)), 0.1)
    torch.testing.assert_close(pooled, expected)
