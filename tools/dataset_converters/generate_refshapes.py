"""Generates RefShapes, a referring dataset of drawn shapes, as the files of a REFER dataset."""
from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from prettytable import PrettyTable

from mmseg_ris_kd.apis import cli
from mmseg_ris_kd.datasets.refer import decode_target
from mmseg_ris_kd.datasets.refshapes.generator import (
    ANNOTATION_FOLDER,
    DEFAULT_COUNTS,
    IMAGE_FOLDER,
    SPLITS,
    generate_refshapes,
)
from mmseg_ris_kd.datasets.refshapes.scene import DIFFICULTIES
from mmseg_ris_kd.visualization.sheet import Panel, draw_sheet

PREVIEW_PANELS = 12


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Writes OUT_DIR/refshapes/{refs(generated).p, instances.json, vocab.txt, meta.json} and the images\n'
               'OUT_DIR/images/refshapes/*.jpg. The same arguments give the same files; if they are already there,\n'
               'they are reused. In a config: type="RefShapesDataset", data_root=OUT_DIR.\n\n'
               'example: generate_refshapes.py data --preview sheet.png')
    parser.add_argument('out_dir', type=Path, help='data root to write to; made when missing')
    parser.add_argument('--image-size', type=int, default=96, metavar='PIXELS',
                        help='side of the images (default: 96)')
    parser.add_argument('--counts', nargs='+', default=[], metavar='SPLIT=IMAGES', type=parse_count,
                        help='images per split; the others keep their default ('
                             + ' '.join(f'{split}={count}' for split, count in DEFAULT_COUNTS.items()) + ')')
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another dataset (default: 0)')
    parser.add_argument('--difficulty', choices=tuple(DIFFICULTIES), default='medium',
                        help='number of objects, noise, occlusion, textures and share of relations (default: medium)')
    parser.add_argument('--num-objects', nargs=2, type=int, metavar=('FEWEST', 'MOST'),
                        help="objects per image (default: the difficulty's: "
                             + ', '.join('{} {}-{}'.format(name, *item.num_objects)
                                         for name, item in DIFFICULTIES.items()) + ')')
    parser.add_argument('--num-workers', type=int, help='processes to draw with (default: one per CPU core, 8 at most)')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace what is in refshapes/ and images/refshapes/ of OUT_DIR')
    parser.add_argument('--preview', type=Path, metavar='FILE.png',
                        help=f'also write a sheet of {PREVIEW_PANELS} images with expressions and target outlines')
    return parser.parse_args(argv)


def parse_count(text: str) -> tuple[str, int]:
    """Reads ``'train=4000'``."""
    split, _, number = text.partition('=')
    try:
        return split, int(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not SPLIT=IMAGES, such as train=4000') from None


def preview_panels(out_dir: Path) -> list[Panel]:
    """Picks expressions of every split, each of another image, spread evenly over the split.

    Args:
        out_dir: Data root that holds RefShapes.

    Returns:
        At most ``PREVIEW_PANELS`` panels with the expression, the target, and the split and kind as caption.
    """
    instances = json.loads((out_dir / ANNOTATION_FOLDER / 'instances.json').read_bytes())
    segmentations = {item['id']: item['segmentation'] for item in instances['annotations']}
    with open(out_dir / ANNOTATION_FOLDER / 'refs(generated).p', 'rb') as file:
        refs = pickle.load(file)  # written by this program a moment ago
    by_split = {split: {} for split in SPLITS}
    for ref in refs:
        by_split[ref['split']].setdefault(ref['image_id'], []).append(ref)
    used = [split for split in SPLITS if by_split[split]]
    panels = []
    for split in used:
        images = list(by_split[split].values())
        count = min(len(images), PREVIEW_PANELS // len(used))
        for number in np.linspace(0, len(images) - 1, count).round().astype(int):
            candidates = [(ref, sentence) for ref in images[number] for sentence in ref['sentences']]
            ref, sentence = candidates[number % len(candidates)]
            image = np.asarray(Image.open(out_dir / IMAGE_FOLDER / ref['file_name']).convert('RGB'))
            target = decode_target([segmentations[ref['ann_id']]], *image.shape[:2])
            panels.append(Panel(image, sentence['raw'], target=target, caption=f'{split}, {sentence["kind"]}'))
    return panels


def print_statistics(statistics: dict) -> None:
    """Prints one row per split."""
    table = PrettyTable(['split', *(name.replace('_', ' ') for name in next(iter(statistics.values())))])
    table.align = 'r'
    for split, row in statistics.items():
        table.add_row([split, *row.values()])
    print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Generates the dataset, prints what is in it and draws the preview."""
    args = parse_args(argv)
    meta = generate_refshapes(
        args.out_dir,
        image_size=args.image_size,
        counts=dict(args.counts),
        seed=args.seed,
        difficulty=args.difficulty,
        num_objects=None if args.num_objects is None else tuple(args.num_objects),
        num_workers=args.num_workers,
        overwrite=args.overwrite)
    print_statistics(meta['statistics'])
    if args.preview is not None:
        sheet = draw_sheet(preview_panels(args.out_dir), columns=4, panel_size=288, title='RefShapes')
        args.preview.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(args.preview)
        print(f'preview: {args.preview}')


if __name__ == '__main__':
    cli.run(main)
