"""Train a referring segmentation model from a config."""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.apis import check_state_dict, cli, latest_checkpoint, load_config, read_checkpoint


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/train.py configs/r18/r18_bert-mini_refcoco.py --amp')
    cli.add_runner_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue the run in --work-dir from its last checkpoint, or from the given one')
    parser.add_argument('--amp', action='store_true', help='train with automatic mixed precision (GPU)')
    parser.add_argument('--seed', type=int, help='random seed (default: the config\'s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args.config, args.cfg_options)
    cli.prepare_launch(config, args)
    if args.seed is not None:
        config.randomness = dict(config.get('randomness', {}), seed=args.seed)
    if args.amp:
        enable_amp(config)
    if args.resume or config.get('resume'):
        choose_checkpoint(config, args.resume)
    else:
        check_work_dir(config)
    init_default_scope(config.get('default_scope', 'mmseg'))
    DATASETS.build(config.train_dataloader.dataset)  # absent data is reported before weights are fetched
    runner = Runner.from_cfg(config)
    if runner._load_from:  # mmengine would load what fits of any file, and train the rest from random weights
        check_state_dict(runner.model, read_checkpoint(runner._load_from), runner._load_from)
    runner.train()


def choose_checkpoint(config: Config, wanted: str | None) -> None:
    """Let training resume from ``wanted``, from the config's own ``load_from``, or from the work dir's last one.

    Without a checkpoint to resume from, training starts anew, with the weights of ``load_from`` if it is set.
    """
    checkpoint = wanted if wanted not in (None, 'auto') else None
    checkpoint = checkpoint or (config.get('load_from') if wanted is None else None)
    checkpoint = checkpoint or latest_checkpoint(config.work_dir)
    config.load_from, config.resume = checkpoint or config.get('load_from'), checkpoint is not None
    if not config.resume:
        print(f'No checkpoint in {config.work_dir} to resume from: training starts at the beginning.')


def check_work_dir(config: Config) -> None:
    """Raise a ``ValueError`` if the work dir holds checkpoints, but configs of other names (mmengine dumps them)."""
    folder, own = Path(config.work_dir), Path(config.filename).name
    trained = sorted(path.name for path in folder.glob('*.py'))
    if trained and own not in trained and any(any(folder.glob(f'{name}_*.pth')) for name in ('epoch', 'iter', 'best')):
        raise ValueError(f'--work-dir {folder} holds checkpoints of {", ".join(trained)}, not of {own}, and the best '
                         'one would be looked for among all of them: give another --work-dir, or move that one away')


def enable_amp(config: Config) -> None:
    """Let the optimizer wrapper run the forward pass in mixed precision."""
    if not torch.cuda.is_available():
        raise ValueError('--amp needs a GPU, and torch finds none: leave it out, or check the driver (nvidia-smi)')
    if config.optim_wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp replaces OptimWrapper, but the config has optim_wrapper.type='
                         f'{config.optim_wrapper.type!r}: set AmpOptimWrapper\'s arguments in the config instead')
    config.optim_wrapper.type = 'AmpOptimWrapper'
    config.optim_wrapper.setdefault('loss_scale', 'dynamic')


if __name__ == '__main__':
    cli.run(main, go_on='train.py --resume continues from the last checkpoint')
