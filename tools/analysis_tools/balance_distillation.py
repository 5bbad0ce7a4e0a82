"""Which weight should a distillation loss have? Compare the gradients that the losses send to the student.

The ratio of a loss is the norm of its gradient with respect to the student's parameters over that of the student's own
mask loss, on a few training batches. With the balanced weight the ratio of the whole loss is 1: at the start, or in the
geometric mean of the start and a trained student (--student).
"""
from __future__ import annotations

import argparse
import copy
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmseg.registry import MODELS
from prettytable import PrettyTable
from torch import Tensor

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.analysis.balance import Pull, balanced_weight, measure_pulls
from mmseg_ris_kd.analysis.observation import check_distillation
from mmseg_ris_kd.apis import best_checkpoint, cli, load_checkpoint_strictly, load_config
from mmseg_ris_kd.models.distillers import ReferringDistiller

SEED = 0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog='example:\n  python tools/analysis_tools/balance_distillation.py cmkd_swinb_to_r18_refcoco \\\n'
        '      cwd_swinb_to_r18_refcoco --student work_dirs/r18_bert-mini_refcoco')
    parser.add_argument('configs', nargs='+', metavar='config', help='distillations, by path or name')
    parser.add_argument('--student', metavar='CHECKPOINT',
                        help='checkpoint or work dir of a trained student, to measure there as well')
    parser.add_argument('--batches', type=int, default=4, help='training batches to measure on (default: %(default)s)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    cli.add_data_root_argument(parser)
    parser.add_argument('--cfg-options', nargs='+', action=cli.KeyValueAction, metavar='KEY=VALUE',
                        help='config overrides for all, such as model.teacher_ckpt=work_dirs/demo')
    args = parser.parse_args()
    if args.batches < 1:
        parser.error(f'--batches must be at least 1, got {args.batches}')
    return args


def main() -> None:
    args = parse_args()
    cli.quiet_known_warnings()
    MMLogger.get_instance('balance', log_level='WARNING')  # not how every weight was initialized
    init_default_scope('mmseg')
    checkpoint = best_checkpoint(args.student) if args.student else None
    configs = {Path(name).stem: load_config(name, args.cfg_options) for name in args.configs}
    for config in configs.values():
        check_distillation(config)
        cli.set_data_root(config, args.data_root)
    points = ['start', 'trained'] if checkpoint else ['start']
    table = PrettyTable(['config', 'loss', *(f'value, {point}' for point in points),
                         *(f'ratio, {point}' for point in points), 'loss_weight', 'balanced'], align='r')
    table.align['config'] = table.align['loss'] = 'l'
    for name, config in configs.items():
        distiller, pulls = measure(config, checkpoint, args)
        for entry in pulls[0]:
            table.add_row([name, entry, *row(distiller, entry, [point[entry] for point in pulls])])
    print(table)


def measure(config: Config, checkpoint: str | None,
            args: argparse.Namespace) -> tuple[ReferringDistiller, list[dict[str, Pull]]]:
    """Measure a distillation as its training would start, and with the student of ``checkpoint``."""
    set_random_seed(SEED)
    distiller = MODELS.build(config.model)
    distiller.init_weights()
    distiller.to(args.device).train()
    loader = Runner.build_dataloader(dict(config.train_dataloader, num_workers=0, persistent_workers=False), seed=SEED)
    batches = list(itertools.islice(loader, args.batches))
    parameters = [parameter for parameter in distiller.student.parameters() if parameter.requires_grad]
    pulls = [measure_pulls(losses_of(distiller, batches), parameters)]
    if checkpoint:
        load_checkpoint_strictly(distiller.student, checkpoint)
        pulls.append(measure_pulls(losses_of(distiller, batches), parameters))
    return distiller, pulls


def losses_of(distiller: ReferringDistiller, batches: list[dict]) -> Iterator[dict[str, Tensor]]:
    set_random_seed(SEED)  # what a model draws, such as dropped paths
    for batch in batches:
        yield distiller(**distiller.data_preprocessor(copy.deepcopy(batch), True), mode='loss')


def row(distiller: ReferringDistiller, entry: str, pulls: list[Pull]) -> list[str]:
    """Values and ratios of an entry; of a whole loss its weight, and the balanced one."""
    cells = [*(f'{pull.value:.3g}' for pull in pulls), *(f'{pull.ratio:.3g}' for pull in pulls)]
    _, name, *term = entry.split('.')
    if term:
        return [*cells, '', '']
    weight = distiller.distill_losses[name].loss_weight
    balanced = balanced_weight(weight, [pull.ratio for pull in pulls])
    return [*cells, f'{weight:g}', '-' if math.isnan(balanced) else f'{balanced:.2g}']


if __name__ == '__main__':
    cli.run(main)
