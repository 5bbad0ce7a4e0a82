"""Two CPU processes compute what one process computes on the whole batch."""
from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mmseg_ris_kd.engine import CPUDistributedDataParallel, CPUSyncBatchNorm
from mmseg_ris_kd.engine.cpu_distributed import synchronize_batch_norm


def make_network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)
    return nn.Sequential(*layers).double()


def make_batch():
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64) + 5,
            torch.randn(4, 2, 4, 4, generator=generator, dtype=torch.float64))


def train_half(rank: int, port: str, out_file: str) -> None:
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    dist.init_process_group('gloo', rank=rank, world_size=2)
    model = CPUDistributedDataParallel(make_network())
    inputs, targets = make_batch()
    (model(inputs[rank::2]) - targets[rank::2]).pow(2).mean().backward()
    if rank == 0:
        torch.save(dict(grads=[p.grad for p in model.parameters()], buffers=model.module.state_dict()), out_file)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_gradients_and_statistics_equal_one_process(tmp_path):
    out_file = str(tmp_path / 'two.pth')
    # as scripts: mmsegmentation installs a package of its own named tests, which spawned processes would import
    port = str(29100 + os.getpid() % 400)
    processes = [subprocess.Popen([sys.executable, __file__, str(rank), port, out_file]) for rank in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    two = torch.load(out_file)
    one = make_network()
    inputs, targets = make_batch()
    (one(inputs) - targets).pow(2).mean().backward()
    for expected, actual in zip((p.grad for p in one.parameters()), two['grads']):
        torch.testing.assert_close(actual, expected)
    for key, value in one.state_dict().items():
        torch.testing.assert_close(two['buffers'][key], value)


@pytest.mark.parametrize('training', [True, False])
def test_one_process_is_plain_batch_normalization(training):
    plain = make_network().train(training)
    synced = synchronize_batch_norm(copy.deepcopy(plain))
    inputs, _ = make_batch()
    torch.testing.assert_close(synced(inputs), plain(inputs))
    assert list(synced.state_dict()) == list(plain.state_dict())


def test_replacement_keeps_what_a_layer_is():
    network = make_network()
    network[1].weight.requires_grad_(False)
    network[1].eval()
    network[1].running_mean.fill_(3)
    layer = synchronize_batch_norm(network)[1]
    assert isinstance(layer, CPUSyncBatchNorm) and not layer.weight.requires_grad and not layer.training
    assert layer.running_mean.tolist() == [3] * 4 and layer.weight.dtype == torch.float64


if __name__ == '__main__':
    train_half(int(sys.argv[1]), sys.argv[2], sys.argv[3])
