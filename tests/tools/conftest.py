"""A small experiment that the command line tools can run in seconds."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

CONFIG = """
_base_ = '{repository}/configs/refshapes/r18-slim_bert-tiny_refshapes.py'

train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}'))
val_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}'))
test_dataloader = val_dataloader
model = dict(
    text_encoder=dict(vocab_file='{data}/refshapes/vocab.txt'),
    backbone=dict(stem_channels=8, base_channels=8),
    decode_head=dict(in_channels=(8, 16, 32, 64), channels=16),
)
train_cfg = dict(max_epochs=3, val_interval=1)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory) -> Path:
    """A RefShapes dataset of a few images."""
    from mmseg_ris_kd.datasets.refshapes import generate_refshapes
    root = tmp_path_factory.mktemp('shapes')
    generate_refshapes(root, image_size=64, counts=dict(train=14, val=9, testA=4, testB=4), num_workers=1)
    return root


@pytest.fixture(scope='session')
def small_config(tmp_path_factory, shapes_root) -> Path:
    """A config of three epochs on that dataset."""
    path = tmp_path_factory.mktemp('configs') / 'small.py'
    path.write_text(CONFIG.format(repository=REPOSITORY, data=shapes_root))
    return path


@pytest.fixture(scope='session')
def run_tool():
    """Run a tool as a user does: ``run_tool('train.py', config, '--seed', 1)``; returns the finished process."""

    def run(tool: str, *arguments, check: bool = True, env: dict | None = None) -> subprocess.CompletedProcess:
        command = [str(REPOSITORY / 'tools' / tool), *map(str, arguments)]
        if tool.endswith('.py'):
            command.insert(0, sys.executable)
        environment = dict(os.environ, OMP_NUM_THREADS='1', **(env or {}))
        environment['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{environment["PATH"]}'
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    return run
