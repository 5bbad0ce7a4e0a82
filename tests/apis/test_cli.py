"""Tools end with one message where the input is to blame, and with a traceback where it is not."""
from __future__ import annotations

import pytest
from torch.utils.data import DataLoader, Dataset

from mmseg_ris_kd.apis import cli


class Faulty(Dataset):
    """A dataset that fails with a message of several lines, caused by another error."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        try:
            raise OSError('cause')
        except OSError as error:
            raise ValueError('image a.jpg: cannot be decoded\n  - download it again\n  - or skip it') from error


def failing(error: BaseException):

    def main():
        raise error

    return main


@pytest.mark.parametrize('error, message', [
    (ValueError('split "trian" does not exist'), 'split "trian" does not exist'),
    (KeyError('no such component'), 'no such component'),
    (FileNotFoundError('no checkpoint x.pth'), 'no checkpoint x.pth'),
])
def test_bad_input_is_one_message(error, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.run(failing(error))
    printed = capsys.readouterr().err
    assert exit_.value.code == 1
    assert f'error: {message}\n' in printed and 'Traceback' not in printed


def test_message_of_a_worker_process_survives_whole(capsys):
    with pytest.raises(SystemExit):
        cli.run(lambda: list(DataLoader(Faulty(), num_workers=1)))
    assert 'error: image a.jpg: cannot be decoded\n  - download it again\n  - or skip it\n' in capsys.readouterr().err


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 / 0)


def test_traceback_on_demand(monkeypatch):
    monkeypatch.setenv(cli.TRACEBACK, '1')
    with pytest.raises(ValueError, match='bad'):
        cli.run(failing(ValueError('bad')))


def test_interruption_says_how_to_go_on(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.run(failing(KeyboardInterrupt()))
    assert exit_.value.code == 130 and '--resume' in capsys.readouterr().err
