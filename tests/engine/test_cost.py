from __future__ import annotations

import pytest
import torch
from torch import nn

from mmseg_ris_kd.engine.cost import count_macs, count_parameters, median_seconds, peak_bytes, resident_bytes


def test_macs_and_parameters():
    layer = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert count_parameters(layer) == 3 * 8 * 9
    assert count_macs(lambda: layer(torch.randn(2, 3, 5, 7))) == 3 * 8 * 9 * 2 * 5 * 7


def test_attention_counts_on_every_kernel():
    x = torch.randn(2, 4, 7, 8)  # B x heads x L x D
    assert count_macs(lambda: nn.functional.scaled_dot_product_attention(x, x, x)) == 2 * 4 * (2 * 7 * 7 * 8)


def test_seconds_of_each_step():
    calls = []
    seconds = median_seconds({'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')}, rounds=2, device='cpu')
    assert calls == ['a', 'b'] * 3 and set(seconds) == {'a', 'b'} and all(value >= 0 for value in seconds.values())


def test_peak_of_what_lives_together():
    """Two of three megabytes live at the same time; inputs and views do not count."""
    source = torch.zeros(2**18)  # 1 MiB of float32

    def step():
        first = source + 1
        first.view(2, -1).add_(1)
        second = first * 2
        del first
        return second.sum() + (second - 1).sum()

    assert peak_bytes(step, device='cpu') == pytest.approx(2 * 2**20, rel=1e-3)


def test_backward_needs_what_forward_saved():
    layers = nn.Sequential(*[nn.Sequential(nn.Linear(64, 64), nn.Sigmoid()) for _ in range(8)])
    inputs = torch.randn(4096, 64)
    with torch.no_grad():
        alone = peak_bytes(lambda: layers(inputs), device='cpu')
    trained = peak_bytes(lambda: layers(inputs).sum().backward(), device='cpu')
    assert alone == pytest.approx(3 * 2**20, rel=0.05) and trained > 9 * 2**20  # eight saved outputs


def test_what_stays_between_steps():
    """110 weights, running statistics of 10 channels and their count; AdamW adds two moments and a count per tensor."""
    model = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.BatchNorm1d(10, affine=False))
    weights = 110 * 4
    buffers = 20 * 4 + 8
    optimizer = torch.optim.AdamW(model.parameters())
    assert resident_bytes([model], optimizer) == resident_bytes([model]) == weights + buffers
    model(torch.rand(4, 10)).sum().backward()
    optimizer.step()
    assert resident_bytes([model, model], optimizer) == 3 * weights + buffers + 2 * 4
