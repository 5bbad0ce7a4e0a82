"""Time and memory of training steps: student alone, teacher forward, and the student distilled with each loss.

All of them in one process, taken in turn, on random images: what counts are the ratios. Memory is what stays between
steps (weights, optimizer state, the teacher's weights) and what a step needs at most beyond that (activations,
gradients).
"""
from __future__ import annotations

import argparse
import copy
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from prettytable import PrettyTable
from torch import nn

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.analysis.observation import check_distillation
from mmseg_ris_kd.analysis.provenance import commit_of
from mmseg_ris_kd.analysis.step_cost import STUDENT_STEP, TEACHER_STEP, memory_of
from mmseg_ris_kd.apis import cli, inference_model, load_config
from mmseg_ris_kd.engine.cost import EXPRESSION, count_parameters, median_seconds, peak_bytes, resident_bytes
from mmseg_ris_kd.engine.files import written_whole
from mmseg_ris_kd.models.losses import ChannelRelationLoss, CIRKDMiniBatchLoss
from mmseg_ris_kd.structures import RISFeatures, TextFeatures


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/analysis_tools/benchmark_distillation.py cmkd_swinb_to_r18_refcoco '
        'cwd_swinb_to_r18_refcoco --size 480 --batch-size 8')
    parser.add_argument('configs', nargs='+', help='distillations of one teacher into one student')
    parser.add_argument('--size', type=int, default=480, help='height and width of the images (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=8, help='images per step (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=7, help='rounds, of which the median counts (default: 7)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', type=Path, help='JSON file for the numbers')
    parser.add_argument('--cfg-options', nargs='+', action=cli.KeyValueAction, metavar='KEY=VALUE',
                        help='config overrides for all, such as model.teacher.text_encoder.pretrained=/path/to/folder')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cli.quiet_known_warnings()
    MMLogger.get_instance('benchmark', log_level='WARNING')  # not how every weight was initialized
    init_default_scope('mmseg')
    configs = {Path(name).stem: load_config(name, args.cfg_options) for name in args.configs}
    check_configs(configs)
    distillers = {name: build(config).to(args.device).train() for name, config in configs.items()}
    first, distiller = next(iter(configs.values())), next(iter(distillers.values()))
    for other in distillers.values():
        other.share_teacher(distiller)
    data = batch(args.batch_size, args.size)
    alone = copy.deepcopy(distiller.student)
    prepared = distiller.data_preprocessor(copy.deepcopy(data), True)
    teacher_inputs = prepared['inputs'] if prepared['teacher_inputs'] is None else prepared['teacher_inputs']
    steps = {
        STUDENT_STEP: training_step(alone, first, data),
        TEACHER_STEP: lambda: distiller.teacher(teacher_inputs, [EXPRESSION] * args.batch_size),
        **{name: training_step(model, configs[name], data) for name, model in distillers.items()},
    }
    modules = {STUDENT_STEP: [alone], TEACHER_STEP: [distiller.teacher.model],
               **{name: [model, distiller.teacher.model] for name, model in distillers.items()}}
    report = dict(
        command=f'python {shlex.join(sys.argv)}', commit=commit_of(Path(__file__).parent), size=args.size,
        batch_size=args.batch_size, device=device_name(args.device), torch=torch.__version__,
        steps=measure(steps, args), relations=measure(relation_steps(distiller, args), args))
    models = {name: model.student for name, model in distillers.items()}
    models.update({STUDENT_STEP: alone, TEACHER_STEP: distiller.teacher.model})
    for name, values in report['steps'].items():
        adapters = count_parameters(distillers[name].distill_losses) if name in distillers else 0
        values.update(parameters=count_parameters(models[name]), train_only_parameters=adapters,
                      resident_bytes=resident_bytes(modules[name], getattr(steps[name], 'optimizer', None)))
    print(step_table(report['steps']))
    print(f'\nthe relation alone, forward and backward, on fused features of {args.size} x {args.size} images, '
          f'batch {args.batch_size}\n{relation_table(report["relations"])}')
    if args.out:
        with written_whole(args.out) as part:
            part.write_text(json.dumps(report, indent=1) + '\n')
        print(f'written to {args.out}')


def check_configs(configs: dict[str, Config]) -> None:
    """Raise a ``ValueError`` unless all are distillations of one teacher into one student."""
    first = next(iter(configs.values()))
    for config in configs.values():
        check_distillation(config)
        for part in ('student', 'teacher'):
            if config.model[part] != first.model[part]:
                raise ValueError(f'{config.filename} has another model.{part} than {first.filename}: their steps '
                                 'cannot be compared, time them in runs of their own')


def build(config: Config) -> nn.Module:
    """The distiller with random weights, which cost what trained ones cost."""
    model = dict(config.model, teacher_ckpt=None, allow_random_teacher=True)
    model.update(student=inference_model(model), teacher=inference_model(model['teacher']))
    return MODELS.build(model)


def batch(images: int, size: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(1, size, size, generator=generator) > 0.7).long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=target), metainfo=dict(
        expression=EXPRESSION, img_shape=(size, size), ori_shape=(size, size))) for _ in range(images)]
    inputs = [torch.randint(0, 255, (3, size, size), generator=generator, dtype=torch.uint8) for _ in samples]
    return dict(inputs=inputs, data_samples=samples)


def training_step(model: nn.Module, config: Config, data: dict) -> Callable[[], object]:
    """A step that trains ``model``; its attribute ``optimizer`` is what it trains with."""
    optim_wrapper = build_optim_wrapper(model, copy.deepcopy(config.optim_wrapper))

    def step():
        return model.train_step(copy.deepcopy(data), optim_wrapper)

    step.optimizer = optim_wrapper.optimizer
    return step


def relation_steps(distiller: nn.Module, args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """CMKD's relation between channels and the relation between pixels that it replaces, at every position."""
    heads = (distiller.student.decode_head, distiller.teacher.model.decode_head)
    channels = [head.feature_channels for head in heads]
    sizes = [args.size // stride for stride in (4, 8, 16, 32)]
    empty = torch.zeros(args.batch_size, 1)
    text = TextFeatures(empty[..., None], empty.bool(), empty.long(), empty)
    records = []
    for widths, is_student in zip(channels, (True, False)):
        features = tuple(
            torch.randn(args.batch_size, width, size, size, device=args.device, requires_grad=is_student)
            for width, size in zip(widths['fused'], sizes))
        records.append(RISFeatures(features, text, features))
    steps = {}
    for name, loss in {
        'channel relation, all positions': ChannelRelationLoss(grid=None, stages=(1, 2, 3)),
        'channel relation, 15 x 15 (default)': ChannelRelationLoss(stages=(1, 2, 3)),
        'pixel relation (CIRKD), all positions': CIRKDMiniBatchLoss(grid=None, stages=(1, 2, 3)),
        'pixel relation (CIRKD), 15 x 15 (default)': CIRKDMiniBatchLoss(stages=(1, 2, 3)),
    }.items():
        loss.connect(*channels)
        loss.to(args.device)
        steps[name] = lambda loss=loss: sum(loss(*records).values()).backward()
    return steps


def measure(steps: dict[str, Callable[[], object]], args: argparse.Namespace) -> dict[str, dict[str, float]]:
    seconds = median_seconds(steps, rounds=args.rounds, device=args.device)
    return {name: dict(seconds=seconds[name], bytes=peak_bytes(step, device=args.device))
            for name, step in steps.items()}


def step_table(steps: dict[str, dict[str, float]]) -> PrettyTable:
    alone = steps[STUDENT_STEP]
    together = alone['seconds'] + steps[TEACHER_STEP]['seconds']
    table = PrettyTable(
        ['step', 'ms', 'x student', 'x (student + teacher)', 'stays MiB', 'step MiB', 'x student ', 'parameters (M)',
         'train-only (M)'], align='r')
    for name, step in steps.items():
        table.add_row([name, f'{1e3 * step["seconds"]:.0f}', f'{step["seconds"] / alone["seconds"]:.2f}',
                       f'{step["seconds"] / together:.2f}', f'{step["resident_bytes"] / 2**20:.0f}',
                       f'{step["bytes"] / 2**20:.0f}', f'{memory_of(step) / memory_of(alone):.2f}',
                       f'{step["parameters"] / 1e6:.2f}',
                       f'{step["train_only_parameters"] / 1e6:.3f}'])
    return table


def relation_table(relations: dict[str, dict[str, float]]) -> PrettyTable:
    table = PrettyTable(['relation', 'ms', 'peak MiB'], align='r')
    for name, step in relations.items():
        table.add_row([name, f'{1e3 * step["seconds"]:.1f}', f'{step["bytes"] / 2**20:.1f}'])
    return table


def device_name(device: str) -> str:
    if device.startswith('cuda'):
        return torch.cuda.get_device_name(device)
    return f'CPU, {torch.get_num_threads()} threads'


if __name__ == '__main__':
    cli.run(main)
