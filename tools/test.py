"""Evaluate a checkpoint: mIoU, oIoU and Pr@X on one or more splits, with predictions and pictures if asked for."""
from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import os.path as osp

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from prettytable import PrettyTable

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.apis import best_checkpoint, cli, inference_model, load_checkpoint_strictly, load_config
from mmseg_ris_kd.evaluation import PROTOCOLS, Protocol, get_protocol


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/test.py r18_bert-mini_refcoco work_dirs/r18_bert-mini_refcoco '
        '--split val testA testB --show-dir sheets')
    cli.add_runner_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file, or a work dir: its best checkpoint')
    parser.add_argument('--split', nargs='+', metavar='SPLIT', help='splits to evaluate (default: the config\'s)')
    parser.add_argument('--protocol', choices=sorted(PROTOCOLS), help='evaluation protocol (default: the config\'s)')
    parser.add_argument('--show-dir', help='folder for picture sheets: image, expression, target outline, prediction')
    parser.add_argument('--out', help='file for the predictions, one JSON line per expression (mask as COCO RLE)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args.config, args.cfg_options)
    cli.prepare_launch(config, args)
    config.model = inference_model(config.model)
    checkpoint = best_checkpoint(args.checkpoint)
    check_sections(config, args.config)
    protocol = get_protocol(args.protocol or config.test_evaluator.get('protocol', 'default'))
    apply_protocol(config, protocol)
    splits = args.split or [config.test_dataloader.dataset.split]
    results = {}
    for split in splits:
        results[split] = evaluate(config_for(config, args, split, of_many=len(splits) > 1), checkpoint)
    if is_main_process():
        dataset = config.test_dataloader.dataset.type
        print(f'\n{osp.basename(checkpoint)}: {dataset}, protocol {protocol.name}\n{table(results)}')
        out = osp.join(config.work_dir, 'metrics.json')
        with open(f'{out}.part', 'w') as file:
            report = dict(checkpoint=checkpoint, dataset=dataset, protocol=protocol.name, metrics=results)
            json.dump(report, file, indent=2)
        os.replace(f'{out}.part', out)  # whole or not there
        print(f'written to {out}')


def check_sections(config: Config, name: str) -> None:
    """Raise a ``ValueError`` if the config does not evaluate one referring dataset with one metric."""
    if not isinstance(config.get('test_evaluator'), dict) or 'test_dataloader' not in config:
        raise ValueError(f'{name} needs test_dataloader and test_evaluator=dict(type=\'RISMetric\'), one of each')
    if 'split' not in config.test_dataloader.dataset:
        raise ValueError(f'{name}: test_dataloader.dataset is a {config.test_dataloader.dataset.type}, which has no '
                         'split: evaluate the datasets that it joins one by one')


def apply_protocol(config: Config, protocol: Protocol) -> None:
    """Set up metric, dataset and model as a protocol asks; see docs/evaluation.md."""
    config.test_evaluator.protocol = protocol.name
    config.test_dataloader.dataset.expression_field = protocol.expression_field
    for step in config.test_dataloader.dataset.pipeline:
        if step['type'] == 'LoadReferringMask':
            step['overlap'] = protocol.overlap
    if protocol.resolution == 'input':
        config.model.test_cfg = dict(config.model.get('test_cfg') or {}, keep_input_logits=True)


def config_for(config: Config, args: argparse.Namespace, split: str, *, of_many: bool) -> Config:
    """Return the config of the evaluation of one split; several splits write to files and folders of their own."""
    config = copy.deepcopy(config)
    config.experiment_name = f'{osp.splitext(osp.basename(config.filename))[0]}_{split}'
    config.test_dataloader.dataset.split = split
    if args.out:
        root, suffix = osp.splitext(args.out)
        config.test_evaluator.out_file = f'{root}_{split}{suffix}' if of_many else args.out
    if args.show_dir:
        folder = osp.join(args.show_dir, split) if of_many else args.show_dir
        config.default_hooks.visualization.update(draw=True, out_dir=folder)
    return config


class QuietRunner(Runner):
    """Leaves environment, config and hooks to the log file: the console shows progress and results."""

    def build_logger(self, log_level: int | str = 'INFO', log_file: str | None = None) -> MMLogger:
        logger = super().build_logger(log_level, log_file)
        console = logger.handlers[0]
        console.addFilter(lambda record: record.module != 'runner' or record.levelno >= logging.WARNING)
        return logger


def evaluate(config: Config, checkpoint: str) -> dict[str, float]:
    runner = QuietRunner.from_cfg(config)
    load_checkpoint_strictly(runner.model, checkpoint)
    runner._has_loaded = True  # mmengine would look for load_from, and load it loosely
    return runner.test()


def table(results: dict[str, dict[str, float]]) -> PrettyTable:
    """One row per split, one column per metric, in percent."""
    names = list(next(iter(results.values())))
    rows = PrettyTable(['split', *(name.split('/')[-1] for name in names)], align='r')
    for split, metrics in results.items():
        rows.add_row([split, *(f'{metrics[name]:.2f}' for name in names)])
    return rows


if __name__ == '__main__':
    cli.run(main)
