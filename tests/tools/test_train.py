"""Which checkpoint training resumes from, by the command line or by the config."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from mmseg_ris_kd.apis import load_config

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'train.py'
SPEC = importlib.util.spec_from_file_location('train', TOOL)
train = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(train)


@pytest.fixture
def config(tmp_path):
    """Loads a config whose work dir holds two checkpoints, with overrides as ``--cfg-options`` gives them."""
    for epoch in (1, 2):
        torch.save(dict(state_dict={}, optimizer={}, meta={}), tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    return lambda **options: load_config('r18-slim_gru_refshapes', dict(work_dir=str(tmp_path), **options))


@pytest.mark.parametrize('wanted, options, expected', [
    (None, dict(resume=True), 'epoch_2.pth'),  # --cfg-options resume=True
    (None, dict(resume=True, load_from='mine.pth'), 'mine.pth'),
    ('auto', {}, 'epoch_2.pth'),  # --resume
    ('auto', dict(load_from='pretrained.pth'), 'epoch_2.pth'),  # the run's own state, not where it started from
    ('epoch_1.pth', dict(load_from='pretrained.pth'), 'epoch_1.pth'),  # --resume epoch_1.pth
])
def test_resumes_from(wanted, options, expected, config):
    chosen = config(**options)
    train.choose_checkpoint(chosen, wanted)
    assert chosen.resume is True and Path(chosen.load_from).name == expected


@pytest.mark.parametrize('wanted, options', [(None, dict(resume=True)), ('auto', dict(load_from='pretrained.pth'))])
def test_nothing_to_resume_from_starts_at_the_beginning(wanted, options, config, tmp_path, capsys):
    chosen = config(**options)
    chosen.work_dir = str(tmp_path / 'empty')
    train.choose_checkpoint(chosen, wanted)
    assert chosen.resume is False
    assert f'No checkpoint in {tmp_path / "empty"}' in capsys.readouterr().out
