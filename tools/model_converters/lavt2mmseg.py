"""Convert published weights to this package's teacher: a LAVT (lavt or lavt_one), or a Swin Transformer to start from.

A LAVT becomes a checkpoint of the models of ``configs/lavt``, for ``tools/test.py``, ``load_from`` or a distillation's
``model.teacher_ckpt``; the weights of a Swin Transformer, as its authors pretrained it on ImageNet, become those of
``model.backbone.init_cfg.checkpoint``. The file is read without running code from it.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mmseg_ris_kd.apis import cli
from mmseg_ris_kd.engine.files import written_whole
from mmseg_ris_kd.models.conversion import PublishedModel, read_published, recognise


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog='example: python tools/model_converters/lavt2mmseg.py refcoco.pth lavt_refcoco.pth\n'
        '         python tools/test.py lavt_swin-b_bert_refcoco lavt_refcoco.pth --protocol lavt')
    parser.add_argument('src', type=Path, help='published checkpoint')
    parser.add_argument('dst', type=Path, help='checkpoint to write')
    parser.add_argument('--allow-partial', action='store_true',
                        help='write what converts, even if weights are missing or unknown; of all that read '
                        'checkpoints, only load_from takes such a file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.src.exists() and args.dst.exists() and args.src.samefile(args.dst):
        raise ValueError(f'{args.dst} is the published checkpoint itself: give another DST')
    checkpoint = read_published(args.src)
    try:
        model = recognise(checkpoint)
        converted = model.convert()
    except ValueError as error:
        raise ValueError(f'{args.src}: {error}') from None
    for title, names in (('left out', converted.left_out), ('missing', converted.missing),
                         ('unknown', converted.unknown)):
        for name in names:
            print(f'{title}: {name}')
    if (converted.missing or converted.unknown) and not args.allow_partial:
        raise ValueError(f'{args.src}: {len(converted.missing)} weights of a {model.kind} are missing and '
                         f'{len(converted.unknown)} are unknown, all listed above; nothing was written '
                         '(--allow-partial writes what converts)')
    if not converted.state_dict:
        raise ValueError(f'{args.src}: none of its weights converts')
    meta = dict(converted_from=args.src.name, kind=model.kind, architecture=model.architecture)
    with written_whole(args.dst) as part:
        torch.save(dict(meta=meta, state_dict=converted.state_dict), part)
    values = sum(value.numel() for value in converted.state_dict.values())
    bert = f' with a BERT of {model.bert_layers} layers' if model.bert_layers else ''
    print(f'{args.dst}: {len(converted.state_dict)} entries of a {model.kind}{bert}, {values / 1e6:.2f} M values\n'
          f'{how_to_use(model, args)}')


def how_to_use(model: PublishedModel, args: argparse.Namespace) -> str:
    """Say which config options the architecture takes."""
    size = model.architecture
    options = {f'model.backbone.{key}': value for key, value in size.items()}
    if model.kind == 'swin':
        options['model.backbone.init_cfg.checkpoint'] = args.dst
    widths = [size['embed_dims'] * 2**i for i in range(4)]
    decoder = model.weights.get('classifier.conv1_4.weight')  # hidden width x ...
    hidden = widths[-1] // 2 if decoder is None else decoder.shape[0]
    options.update({'model.decode_head.in_channels': widths, 'model.decode_head.channels': hidden})
    text = ' '.join(f'{key}={str(value).replace(" ", "")}' for key, value in options.items())
    note = '' if model.kind == 'swin' or 'fusion_heads' in size else (
        '\nThe number of fusion heads is not in the weights; if it was not 1, add model.backbone.fusion_heads=[...].')
    return f'Its architecture as options of configs/lavt, whose own are those of Swin-B, window 12:\n  {text}{note}'


if __name__ == '__main__':
    cli.run(main)
