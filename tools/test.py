"""Evaluate a checkpoint: mIoU, oIoU and Pr@X on one or more splits, with predictions and pictures if asked for."""
from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import logging
import math
import os.path as osp
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from prettytable import PrettyTable

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.apis import best_checkpoint, cli, inference_model, load_checkpoint_strictly, load_config
from mmseg_ris_kd.engine.files import written_whole
from mmseg_ris_kd.evaluation import PROTOCOLS, Protocol, get_protocol


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/test.py r18_bert-mini_refcoco work_dirs/r18_bert-mini_refcoco '
        '--split val testA testB --show-dir sheets')
    cli.add_runner_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file, or a work dir: its best checkpoint')
    parser.add_argument('--split', nargs='+', metavar='SPLIT', help='splits to evaluate (default: the config\'s)')
    parser.add_argument('--protocol', choices=[*PROTOCOLS, 'all'],
                        help='evaluation protocol, or all of them in one table (default: the config\'s)')
    parser.add_argument('--show-dir', help='folder for picture sheets: image, expression, target outline, prediction')
    parser.add_argument('--out', help='file for the predictions, one JSON line per expression (mask as COCO RLE); of '
                        'several splits and protocols FILE_SPLIT_PROTOCOL.jsonl')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args.config, args.cfg_options)
    cli.prepare_launch(config, args)
    config.model = inference_model(config.model)
    checkpoint = best_checkpoint(args.checkpoint)
    check_sections(config, args.config)
    chosen = args.protocol or config.test_evaluator.get('protocol', 'ours')
    names = PROTOCOLS if chosen == 'all' else [chosen]
    protocols = {name: protocol_of(config.test_evaluator, name) for name in names}
    several = len(protocols) > 1
    splits = args.split or [config.test_dataloader.dataset.split]
    results = {split: {} for split in splits}
    for split in splits:
        for together in passes(protocols):
            scores = evaluate(config_for(config, args, split, together, splits=splits, several=several), checkpoint)
            for name, protocol in together.items():
                results[split][protocol.name] = {
                    key.split('/')[-1]: value for key, value in scores.items()
                    if not several or key.startswith(f'{name}/')}
    if is_main_process():
        dataset = config.test_dataloader.dataset.type
        print(f'\n{osp.basename(checkpoint)}: {dataset}, protocol {chosen}\n{table(results)}')
        write_metrics(config.work_dir, results, checkpoint=checkpoint, dataset=dataset)


def write_metrics(work_dir: str, results: dict[str, dict[str, dict[str, float]]], *, checkpoint: str,
                  dataset: str) -> None:
    """Write ``metrics.json``, or ``protocols.json`` where there are several; scores that are NaN are null."""
    results = {split: {name: {key: None if math.isnan(value) else value for key, value in scores.items()}
                       for name, scores in by_protocol.items()} for split, by_protocol in results.items()}
    names = list(next(iter(results.values())))
    report = dict(checkpoint=checkpoint, dataset=dataset)
    if len(names) > 1:
        out, report['metrics'] = osp.join(work_dir, 'protocols.json'), results
    else:
        out = osp.join(work_dir, 'metrics.json')
        report.update(protocol=names[0], metrics={split: scores[names[0]] for split, scores in results.items()})
    with written_whole(out) as part:
        part.write_text(json.dumps(report, indent=2))
    print(f'written to {out}')


def protocol_of(evaluator: dict, name: str) -> Protocol:
    """Return a preset with what the config's evaluator overrides in it, which its name then tells."""
    known = {field.name for field in dataclasses.fields(Protocol)} - {'name'}
    return get_protocol(name, {key: value for key, value in evaluator.items() if key in known})


def check_sections(config: Config, name: str) -> None:
    """Raise a ``ValueError`` if the config does not evaluate one referring dataset with one metric."""
    if not isinstance(config.get('test_evaluator'), dict) or 'test_dataloader' not in config:
        raise ValueError(f'{name} needs test_dataloader and test_evaluator=dict(type=\'RISMetric\'), one of each')
    if 'split' not in config.test_dataloader.dataset:
        raise ValueError(f'{name}: test_dataloader.dataset is a {config.test_dataloader.dataset.type}, which has no '
                         'split: evaluate the datasets that it joins one by one')


def passes(protocols: dict[str, Protocol]) -> list[dict[str, Protocol]]:
    """Group protocols that read the same expressions and targets, for one pass over the data each."""
    groups = {}
    for name, protocol in protocols.items():
        groups.setdefault((protocol.expression_field, protocol.overlap), {})[name] = protocol
    return list(groups.values())


def config_for(config: Config, args: argparse.Namespace, split: str, together: dict[str, Protocol], *,
               splits: Sequence[str], several: bool) -> Config:
    """Return the config of one pass over one split.

    Metric, dataset and model are set up as the protocols ask, see docs/evaluation.md; where there are several splits or
    protocols, their files and folders have names of their own.
    """
    config = copy.deepcopy(config)
    first = next(iter(together.values()))
    config.experiment_name = '_'.join([osp.splitext(osp.basename(config.filename))[0], split, *together])
    dataset = config.test_dataloader.dataset
    dataset.split = split
    dataset.expression_field = first.expression_field
    for step in dataset.pipeline:
        if step['type'] == 'LoadReferringMask':
            step['overlap'] = first.overlap
    if any(protocol.resolution == 'input' for protocol in together.values()):
        config.model.test_cfg = dict(config.model.get('test_cfg') or {}, keep_input_logits=True)
    evaluators = []
    for name in together:
        evaluator = dict(config.test_evaluator, protocol=name)
        names = [split] if len(splits) > 1 else []
        if several:
            evaluator['prefix'] = name
            names.append(name)
        if args.out:
            root, suffix = osp.splitext(args.out)
            evaluator['out_file'] = '_'.join([root, *names]) + suffix
        evaluators.append(evaluator)
    config.test_evaluator = evaluators
    if args.show_dir and (not several or next(iter(PROTOCOLS)) in together):  # one picture of each is enough
        folder = osp.join(args.show_dir, split) if len(splits) > 1 else args.show_dir
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


def table(results: dict[str, dict[str, dict[str, float]]]) -> PrettyTable:
    """One row per split and protocol, one column per metric, in percent."""
    rows = [(split, protocol, scores) for split, by_protocol in results.items()
            for protocol, scores in by_protocol.items()]
    names = list(dict.fromkeys(name for *_, scores in rows for name in scores))
    lines = PrettyTable(['split', 'protocol', *names], align='r')
    for split, protocol, scores in rows:
        lines.add_row([split, protocol, *(f'{scores[name]:.2f}' if name in scores else '-' for name in names)])
    return lines


if __name__ == '__main__':
    cli.run(main)
