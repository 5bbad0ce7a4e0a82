"""Convert a published LAVT checkpoint to this package's teacher.

    python tools/model_converters/lavt_to_mmseg.py SRC DST

The result loads into the model of ``configs/lavt`` with ``tools/test.py`` or as ``load_from``.
"""
from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import torch

from mmseg_ris_kd.apis import cli
from mmseg_ris_kd.models.lavt_conversion import convert_lavt


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Convert a published LAVT checkpoint (lavt or lavt_one).')
    parser.add_argument('src', type=Path, help='published checkpoint (.pth)')
    parser.add_argument('dst', type=Path, help='checkpoint to write (.pth)')
    return parser.parse_args()


def load_published(path: Path) -> dict:
    """Load a published checkpoint without running code from it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds anything but tensors, plain containers and the training script's arguments.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint at {path}; download it by hand from the LAVT authors')
    if hasattr(torch.serialization, 'add_safe_globals'):  # torch >= 2.4
        torch.serialization.add_safe_globals([argparse.Namespace])  # the training script's arguments are in the file
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(f'{path} cannot be read as a checkpoint: {error}\nA truncated download has to be repeated; '
                         'with torch < 2.4 convert on a newer torch, which can read the arguments stored beside the '
                         'weights') from None
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, not the dict of a LAVT checkpoint')
    return checkpoint


def main() -> None:
    """Convert the checkpoint named on the command line."""
    args = parse_args()
    published = load_published(args.src)
    try:
        state_dict = convert_lavt(published)
    except (KeyError, ValueError) as error:
        raise ValueError(f'{args.src}: {error.args[0]}') from error
    args.dst.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(meta=dict(converted_from=args.src.name), state_dict=state_dict), args.dst)
    print(f'{len(state_dict)} entries written to {args.dst}')


if __name__ == '__main__':
    cli.run(main)
