"""Tools end with one message where the input is to blame, and with a traceback where it is not."""
from __future__ import annotations

import argparse

import pytest
from mmengine.config import Config
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
        cli.run(failing(KeyboardInterrupt()), go_on='train.py --resume continues')
    assert exit_.value.code == 130
    assert capsys.readouterr().err == '\ninterrupted; train.py --resume continues\n'


@pytest.mark.parametrize('item', ['foo', '=1', 'work_dirs/r18/epoch_40.pth'])
def test_an_override_without_equals_sign_is_a_usage_error(item, capsys):
    parser = argparse.ArgumentParser()
    cli.add_config_arguments(parser)
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(['r18_bert-mini_refcoco', '--cfg-options', 'a=1', item])
    assert exit_.value.code == 2
    assert f"argument --cfg-options: '{item}' is not of the form key=value, such as" in capsys.readouterr().err


def test_overrides_are_typed_and_add_up():
    parser = argparse.ArgumentParser()
    cli.add_config_arguments(parser)
    args = parser.parse_args(['x', '--cfg-options', 'a.b=1e-3', 'c=(1,2)', '--cfg-options', 'd=x=y'])
    assert args.cfg_options == {'a.b': 1e-3, 'c': (1, 2), 'd': 'x=y'}


@pytest.mark.parametrize('value', [1, 0.5, True, None, (2, 3), ['a', 'b'], 'work_dirs/demo'])
def test_an_option_is_read_as_it_was(value):
    parser = argparse.ArgumentParser()
    cli.add_config_arguments(parser)
    assert parser.parse_args(['x', '--cfg-options', cli.as_option('a.b', value)]).cfg_options == {'a.b': value}


@pytest.mark.parametrize('value', [dict(a=1), '480', 'a,b', 'a b', [dict(a=1)]])
def test_an_option_that_would_be_read_as_something_else_is_an_error(value):
    with pytest.raises(ValueError, match='a.b=.* cannot be given on a command line, where it is read as'):
        cli.as_option('a.b', value)


def test_data_root_is_set_for_the_loaders_that_exist():
    config = Config(dict(train_dataloader=dict(dataset=dict(data_root='a')), val_dataloader=None))
    cli.set_data_root(config, None)
    assert config.train_dataloader.dataset.data_root == 'a'
    cli.set_data_root(config, 'b')
    assert config.train_dataloader.dataset.data_root == 'b' and config.val_dataloader is None
