"""Which checkpoint training resumes from, and bad input that ends it before it begins."""
from __future__ import annotations

import importlib.util
import sys
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
    assert chosen.resume is False and chosen.load_from == options.get('load_from')
    assert f'No checkpoint in {tmp_path / "empty"}' in capsys.readouterr().out


@pytest.fixture
def error(monkeypatch, capsys):
    """``error('--seed', 1)``: the one line with which training ends before it has printed anything else."""
    monkeypatch.delenv(train.cli.TRACEBACK, raising=False)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(*arguments) -> str:
        monkeypatch.setattr(sys, 'argv', ['train.py', 'cmkd_r18-slim_to_r18-nano_refshapes', *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            train.cli.run(train.main)
        printed = capsys.readouterr()
        lines = printed.err.splitlines()
        assert exit_.value.code == 1 and not printed.out and len(lines) == 3 and lines[1].startswith('error: ')
        return lines[1]

    return run


CMKD = 'model.distill_losses.cmkd'


@pytest.mark.parametrize('option, words', [
    ('model.teacher_cpkt=work_dirs/demo', ['ReferringDistiller', "'distill_losses'", "'model.teacher_ckpt'?"]),
    ('model.decode_head.in_channels=3', ["'model.student.decode_head' or 'model.teacher.decode_head'?"]),
    ('model.student.decode_head.channel=3', ['TextConditionedHead', "'model.student.decode_head.channels'?"]),
    (f'{CMKD}.tau=0.3', ['CMKDLoss', "'pixel_word'", f"'{CMKD}.pixel_word.tau' or '{CMKD}.channel.tau'?"]),
    (f'{CMKD}.channel.taau=0.3', ['ChannelRelationLoss', "'guided'", f"'{CMKD}.channel.tau'?"]),
    (f'{CMKD}.channel_word.taau=0.3', ['ChannelWordRelationLoss', f"'{CMKD}.channel_word.tau'?"]),
    (f'{CMKD}.schedule.warmup=0.1', ['WeightSchedule', "'decay_from'", f"'{CMKD}.schedule.warm_up'?"]),
    (f'{CMKD}.channel.schedule.warmup=0.1', [f"'{CMKD}.channel.schedule.warm_up'?"]),
    (f'{CMKD}.type=CMDKLoss', ["did you mean 'CMKDLoss'?"]),
    ('model.student.backbone.type=zzz', ['no component of this name', 'custom_imports']),
    ('model.distill_losses.cwd.loss_weight=0.3', ["no loss 'cwd'", "['cmkd']", 'distill_losses.cwd.type', 'CWDLoss']),
    ('model.distill_losses.cwd=0.3', ["no loss 'cwd'"]),
    ('model.distill_losses.cmdk.loss_weight=0.3', [f"did you mean '{CMKD}'?"]),
])
def test_an_override_that_the_model_does_not_read(option, words, error):
    message = error('--cfg-options', option)
    assert message.startswith(f'error: --cfg-options {option.split("=")[0]}')
    assert all(word in message for word in words), message


def test_a_work_dir_of_another_config(error, tmp_path):
    torch.save({}, tmp_path / 'best_mIoU_epoch_1.pth')
    (tmp_path / 'r18-slim_gru_refshapes.py').touch()
    message = error('--work-dir', tmp_path)
    assert f'--work-dir {tmp_path} holds checkpoints of r18-slim_gru_refshapes.py, not of cmkd_r18-slim' in message
    own = load_config('r18-slim_gru_refshapes', dict(work_dir=str(tmp_path)))
    train.check_work_dir(own)
    (tmp_path / 'best_mIoU_epoch_1.pth').unlink()
    train.check_work_dir(load_config('r18-nano_gru_refshapes', dict(work_dir=str(tmp_path))))


def test_a_work_dir_that_is_a_file(error, tmp_path):
    (tmp_path / 'afile').touch()
    assert f'--work-dir {tmp_path}/afile is a file' in error('--work-dir', tmp_path / 'afile')
