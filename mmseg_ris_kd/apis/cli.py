"""What the command line tools share: common arguments, one-line errors, and distributed runs with or without GPUs."""
from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Callable

import torch
from mmengine.config import Config, DictAction

USER_ERRORS = (ValueError, TypeError, KeyError, OSError, ImportError)
TRACEBACK = 'MMSEG_RIS_KD_TRACEBACK'
EXAMPLE = 'optim_wrapper.optimizer.lr=1e-4 train_dataloader.batch_size=16'
RAISED = re.compile(r'^[\w.]*(?:Error|Exception): ', re.MULTILINE)  # where a printed traceback gives the message


def run(main: Callable[[], None], *, go_on: str = '') -> None:
    """Run a tool; end with one clear message where the input is to blame.

    The message is the error's own: the full traceback appears with ``MMSEG_RIS_KD_TRACEBACK=1``. Errors that no input
    explains keep their traceback.

    Args:
        main: The tool.
        go_on: What to do after an interruption, for the message.
    """
    if os.environ.get(TRACEBACK):
        return main()
    try:
        main()
    except USER_ERRORS as error:
        print(f'\nerror: {_message(error)}\n({TRACEBACK}=1 shows where it was raised)', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f'\ninterrupted{go_on and "; "}{go_on}', file=sys.stderr)
        sys.exit(130)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _message(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if 'Original Traceback' in text:  # raised in a worker process of the data loader: keep its own message
        raised = list(RAISED.finditer(text))
        text = text[raised[-1].end():].rstrip() if raised else text
    return text or type(error).__name__


class KeyValueAction(DictAction):
    """mmengine's reader of ``KEY=VALUE`` items, with a usage error for an item that is none."""

    def __call__(self,
                 parser: argparse.ArgumentParser,
                 namespace: argparse.Namespace,
                 values: Sequence[str],
                 option_string: str | None = None) -> None:
        for item in values:
            if not re.match('[^=]+=', item):
                raise argparse.ArgumentError(self, f'{item!r} is not of the form key=value, such as {EXAMPLE}')
        super().__call__(parser, namespace, values, option_string)


def as_option(key: str, value: object) -> str:
    """Write an override of a config as an item of ``--cfg-options``.

    Raises:
        ValueError: A command line cannot carry it: the item would be read as another value.
    """
    item, parser = f'{key}={value}', argparse.ArgumentParser()
    parser.add_argument('items', nargs='+', action=KeyValueAction)
    try:
        read = parser.parse_args([item]).items[key]
    except RecursionError:  # mmengine's answer to a dict
        read = None
    if read != value or type(read) is not type(value):
        raise ValueError(f'{key}={value!r} cannot be given on a command line, where it is read as {read!r}: override '
                         'the entries of a dict one by one, or put the value into a config of its own')
    return item


def add_config_arguments(parser: argparse.ArgumentParser, *, example: str = EXAMPLE) -> None:
    """Add the config and its overrides, for ``load_config``; ``example`` shows overrides in the help."""
    parser.add_argument('config', help='config file, or the name of a config of this package (r18_bert-mini_refcoco)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValueAction,
        metavar='KEY=VALUE',
        help=f'override entries of the config: {example}')


def add_data_root_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of the data, for ``set_data_root``."""
    parser.add_argument('--data-root', help='folder of the data, for every dataset (default: the config\'s)')


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that train.py and test.py share."""
    add_config_arguments(parser)
    add_data_root_argument(parser)
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: work_dirs/<config name>)')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how processes were started; dist_train.sh and slurm_train.sh set it (default: none, one process)')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def prepare_launch(config: Config, args: argparse.Namespace) -> None:
    """Apply the shared arguments to ``config`` and start the process group where mmengine cannot (CPU, gloo)."""
    quiet_known_warnings()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config.launcher = args.launcher
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    if os.path.isfile(config.work_dir):
        raise NotADirectoryError(f'--work-dir {config.work_dir} is a file: name a folder for logs and checkpoints')
    set_data_root(config, args.data_root)
    if args.launcher == 'none' or torch.cuda.is_available():
        return
    if args.launcher != 'pytorch':
        raise ValueError(f'--launcher {args.launcher} needs GPUs; on CPU start processes with tools/dist_train.sh')
    torch.distributed.init_process_group('gloo')
    config.sync_bn = None  # torch's SyncBatchNorm needs GPUs; the wrapper below brings one that does not
    config.model_wrapper_cfg = dict(
        type='CPUDistributedDataParallel',
        find_unused_parameters=config.get('find_unused_parameters', False))


def set_data_root(config: Config, data_root: str | None) -> None:
    """Let every dataset of ``config`` read from ``data_root``; None leaves the config's."""
    if data_root is None:
        return
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if config.get(loader):
            config[loader].dataset.data_root = data_root


def quiet_known_warnings() -> None:
    """Silence warnings of the stack about itself that no user of this package can act on."""
    for message in ('.*pkg_resources is deprecated.*', '.*torch.meshgrid.*indexing.*', '.*build_loss.*deprecated.*',
                    '.*When align_corners=True, the output would more aligned.*', '.*avg_non_ignore.*',
                    '.*__array__ implementation.*copy keyword.*'):
        warnings.filterwarnings('ignore', message=message)
