"""Look at a dataset as a model sees it: sheets of image, target outline and expression, after the config's pipeline."""
from __future__ import annotations

import argparse
import os
import os.path as osp
from collections.abc import Sequence

import numpy as np
from mmengine import Config, ProgressBar
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.apis import cli, load_config
from mmseg_ris_kd.visualization import Panel, draw_sheet
from mmseg_ris_kd.visualization.overlay import scale_image


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``argv`` defaults to that of the process."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Write sheets of a config\'s dataset: image, target outline and expression,\n'
                    'after its pipeline: flips show, and resizing where it reaches the target too\n'
                    '(a test pipeline resizes the image only: it is shown at the target\'s size).',
        epilog='example:\n  python tools/analysis_tools/browse_dataset.py configs/lavt/lavt_swin-b_bert_refcoco.py \\\n'
               '      --split testA --number 24')
    cli.add_config_arguments(parser, example='test_dataloader.dataset.expression_field=sent (or of train_dataloader '
                                             'or val_dataloader, as --loader or --split choose)')
    cli.add_data_root_argument(parser)
    parser.add_argument('--split', help='split to show instead of the config\'s, e.g. train, val, testA, testB')
    parser.add_argument('--loader', choices=('train', 'val', 'test'),
                        help='whose dataset and pipeline: train_dataloader, val_dataloader or test_dataloader; '
                             'default: train, or by the first letters of --split (train, val, any other: test)')
    parser.add_argument('--output-dir', default='work_dirs/browse', help='folder for the sheets (default: %(default)s)')
    parser.add_argument('--number', type=int, default=48,
                        help='records to show, drawn at random; 0: all, in order (default: %(default)s)')
    parser.add_argument('--per-sheet', type=int, default=12, help='panels on a sheet (default: %(default)s)')
    parser.add_argument('--columns', type=int, default=4, help='panels in a row (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of the choice of records and of the pipeline (default: %(default)s)')
    args = parser.parse_args(argv)
    if args.number < 0:
        parser.error(f'--number must be 0 (all) or more, got {args.number}')
    for name in ('per_sheet', 'columns'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {getattr(args, name)}')
    return args


def main(argv: Sequence[str] | None = None) -> list[str]:
    """Build the dataset, run its pipeline on the chosen records and write the sheets.

    Returns:
        Paths of the written sheets.
    """
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    cli.set_data_root(cfg, args.data_root)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    loader = args.loader or loader_of_split(args.split)
    dataset = DATASETS.build(dataset_config(cfg, loader, args.split, args.config))
    np.random.seed(args.seed % 2**32)
    if hasattr(dataset, 'set_epoch'):
        dataset.set_epoch(0, args.seed)
    indices = choose(len(dataset), args.number, args.seed)
    name = f'{type(dataset).__name__} {args.split or getattr(dataset, "split", "")}'.strip()
    title = f'{name}, {loader} pipeline, {len(indices)} of {len(dataset)} records'
    os.makedirs(args.output_dir, exist_ok=True)
    progress = ProgressBar(len(indices))
    paths = []
    for start in range(0, len(indices), args.per_sheet):
        panels = []
        for index in indices[start:start + args.per_sheet]:
            panels.append(make_panel(dataset[index]))
            progress.update()
        paths.append(osp.join(args.output_dir, f'sheet_{len(paths) + 1:04d}.png'))
        draw_sheet(panels, columns=args.columns, title=title).save(paths[-1])
    print(f'\n{len(indices)} of {len(dataset)} records on {len(paths)} sheet(s) in {osp.abspath(args.output_dir)}')
    return paths


def loader_of_split(split: str | None) -> str:
    """Name of the loader whose pipeline fits a split: 'train', 'val' or 'test'."""
    if split is None or split.startswith('train'):
        return 'train'
    return 'val' if split.startswith('val') else 'test'


def dataset_config(cfg: Config, loader: str, split: str | None, source: str) -> dict:
    """Take a loader's dataset out of a config, with its split replaced if asked for.

    Args:
        cfg: The whole config.
        loader: 'train', 'val' or 'test'.
        split: The new split, or None to keep the config's.
        source: The config's path, for error messages.

    Raises:
        KeyError: The config has no such loader or dataset.
        ValueError: ``split`` is given, but the dataset wraps others and there is no single split to replace.
    """
    key = f'{loader}_dataloader'
    if not cfg.get(key) or not cfg[key].get('dataset'):
        present = [name[:-len('_dataloader')] for name in cfg if name.endswith('_dataloader') and cfg[name]]
        raise KeyError(f'{source} has no {key}.dataset; --loader can be: {", ".join(present) or "none"}')
    dataset = cfg[key]['dataset']
    if split is not None:
        if 'dataset' in dataset or 'datasets' in dataset:
            raise ValueError(f'--split {split} cannot be applied: {key}.dataset of {source} is a {dataset["type"]}, '
                             f'which wraps others; set their splits with --cfg-options {key}.dataset...')
        dataset['split'] = split
    return dataset


def choose(length: int, number: int, seed: int) -> list[int]:
    """Indices of the records to show: all in order, or ``number`` at random, the same for the same seed.

    Raises:
        ValueError: The dataset is empty.
    """
    if length == 0:
        raise ValueError('the dataset has no records: check its split and ann_file')
    if number == 0 or number >= length:
        return list(range(length))
    return np.random.default_rng(seed).permutation(length)[:number].tolist()


def make_panel(record: dict) -> Panel:
    """Turn what the pipeline packed into a panel.

    Args:
        record: ``inputs``, a BGR uint8 tensor (3, H', W'), and ``data_samples`` with metainfo ``expression`` and
            ``gt_sem_seg.data`` (1, H, W). A test pipeline resizes the image only: it is shown at the target's size.
    """
    sample = record['data_samples']
    image = np.ascontiguousarray(record['inputs'].numpy()[::-1].transpose(1, 2, 0))  # BGR (3, H, W) -> RGB (H, W, 3)
    if 'gt_sem_seg' not in sample:
        return Panel(image, sample.expression, caption='no target loaded')
    target = sample.gt_sem_seg.data[0].numpy() != 0
    image = scale_image(image, (target.shape[1], target.shape[0]))
    return Panel(image, sample.expression, target, caption=None if target.any() else 'no target')


if __name__ == '__main__':
    cli.run(main)
