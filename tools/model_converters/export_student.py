"""Write the student of a distillation as a plain checkpoint, and prove that nothing was added to it."""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from prettytable import PrettyTable

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.analysis.observation import load_distillation
from mmseg_ris_kd.apis import (
    best_checkpoint,
    cli,
    inference_model,
    load_checkpoint_strictly,
    load_config,
    read_checkpoint,
    state_dict_differences,
    student_options,
)
from mmseg_ris_kd.engine.cost import count_macs, count_parameters
from mmseg_ris_kd.engine.files import written_whole

EXPRESSIONS = ['the man in the red shirt', 'left']


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Example: python tools/model_converters/export_student.py cmkd_swinb_to_r18_refcoco '
        'work_dirs/cmkd_swinb_to_r18_refcoco student.pth --student-config r18_bert-mini_refcoco')
    cli.add_config_arguments(parser, example='model.student.text_encoder.vocab_file=vocab.txt')
    parser.add_argument('checkpoint', help='checkpoint of the distillation, or its work dir: the best one')
    parser.add_argument('dst', type=Path, help='checkpoint to write')
    parser.add_argument('--student-config', help='config of the student trained alone, to compare with and to name in '
                        'the checkpoint (default: the student of CONFIG)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cli.quiet_known_warnings()
    config = load_config(args.config, args.cfg_options)
    init_default_scope('mmseg')
    path = best_checkpoint(args.checkpoint)
    distiller = load_distillation(config, path)
    if args.student_config:
        config = load_config(args.student_config, student_options(args.cfg_options))
    alone = MODELS.build(inference_model(config.model)).eval()
    different = state_dict_differences(alone, distiller.student.state_dict())
    if different:
        raise ValueError('\n'.join([f'--student-config {args.student_config} is another model than the student of '
                                    f'{args.config}:', *different, 'name the config of that student, or leave '
                                    '--student-config out']))
    with written_whole(args.dst) as part:  # which takes the name of DST when it has proved right
        save(part, distiller.student, path, args.student_config)
        load_checkpoint_strictly(alone, part)
        print(proof(distiller, alone))
    print(f'{args.dst} loads strictly into {args.student_config or "the student of " + args.config}')


def save(path: Path, student: torch.nn.Module, source: str, config: str | None) -> None:
    meta = read_checkpoint(source).get('meta', {})
    kept = {key: meta[key] for key in ('epoch', 'iter', 'seed') if key in meta}
    torch.save(dict(state_dict=student.state_dict(), meta=dict(kept, exported_from=source, config=config)), path)


@torch.no_grad()
def proof(distiller: torch.nn.Module, alone: torch.nn.Module) -> PrettyTable:
    """Compare a distillation, as it predicts, with the student that was loaded from the exported file.

    Raises:
        ValueError: Outputs, parameters or multiply-accumulates differ.
    """
    image = torch.randn(1, 3, 480, 480, generator=torch.Generator().manual_seed(0))
    inputs = image.expand(len(EXPRESSIONS), -1, -1, -1)
    samples = [SegDataSample(metainfo=dict(expression=expression)) for expression in EXPRESSIONS]
    outputs = [model(inputs, samples, mode='tensor') for model in (distiller, alone)]
    rows = {
        'parameters': (count_parameters(distiller.student), count_parameters(alone)),
        'multiply-accumulates at 480 x 480': tuple(
            count_macs(lambda model=model: model(image, samples[:1], mode='tensor')) for model in (distiller, alone)),
        'largest logit': tuple(float(output.abs().max()) for output in outputs),
        'largest difference of a logit': (float((outputs[0] - outputs[1]).abs().max()), 0.),
    }
    table = PrettyTable(['', 'student in the distillation', 'exported student'], align='r')
    for name, pair in rows.items():
        table.add_row([name, *(f'{value:,}' if isinstance(value, int) else f'{value:.6g}' for value in pair)])
    different = [name for name, (first, second) in rows.items() if first != second]
    if different:
        raise ValueError(f'the export failed: {", ".join(different)} differ\n{table}')
    return table


if __name__ == '__main__':
    cli.run(main)
