"""Predictions on disk: one JSON line per expression, with the mask as COCO run lengths."""
from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .functional import Mask, as_mask

FIELDS = ('ref_id', 'sent_id', 'ann_id', 'img_path', 'expression')


class PredictionWriter:
    """Writes predictions while they are made, and joins the files of all processes at the end.

    Each process appends to ``<path>.part<rank>``; :func:`merge_parts` puts the lines into dataset order and moves the
    result to ``<path>`` in one step, so that ``<path>`` is always a complete file.

    Args:
        path: Where the joined file goes.
        rank: Index of this process.

    Raises:
        ImportError: pycocotools, which encodes the masks, is not installed.
    """

    def __init__(self, path: str | Path, *, rank: int = 0) -> None:
        _coco_mask()
        self.part = part_path(path, rank)
        self._file: TextIO | None = None

    def write(self, sample: Mapping[str, Any], mask: Mask, *, intersection: int, union: int, iou: float,
              protocol: str) -> None:
        """Append the prediction of one expression.

        Args:
            sample: Data sample as a dict; its ids, image path and expression are kept.
            mask: Predicted mask at the original size with shape (H, W) and values {0, 1}.
            intersection: I in pixels, under the protocol.
            union: U in pixels, under the protocol.
            iou: IoU under the protocol; NaN is written as null.
            protocol: Name of the protocol that the last three belong to.
        """
        if self._file is None:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.part, 'w', encoding='utf-8')
        record = {name: sample.get(name) for name in FIELDS}
        mask = as_mask(mask).cpu().numpy()
        run_lengths = _coco_mask().encode(np.asfortranarray(mask, dtype=np.uint8))
        record.update(size=list(mask.shape), counts=run_lengths['counts'].decode('ascii'), intersection=intersection,
                      union=union, iou=None if math.isnan(iou) else iou, protocol=protocol)
        self._file.write(json.dumps(record, default=_plain, ensure_ascii=False) + '\n')

    def close(self) -> None:
        """Finish the part; the next :meth:`write` starts it anew."""
        if self._file is not None:
            self._file.close()
            self._file = None


def merge_parts(path: str | Path, kept: Sequence[int]) -> None:
    """Join the parts of all processes into one file, in dataset order, and delete them.

    mmengine's sampler deals samples out like cards: line k of process r is sample ``k * processes + r``.

    Args:
        path: The joined file; an older one is replaced at the end.
        kept: For each process, how many of its leading lines count; the rest are padding.

    Raises:
        FileNotFoundError: A part is missing.
        ValueError: A part is shorter than announced.
    """
    path = Path(path)
    parts = [part_path(path, rank) for rank in range(len(kept))]
    readers: list[Iterator[str]] = []
    files: list[TextIO] = []
    temporary = path.with_name(path.name + '.tmp')
    try:
        for part, lines in zip(parts, kept):
            if lines and not part.is_file():
                raise FileNotFoundError(f'{part} is missing: `out_file` must lie on a file system that all processes '
                                        'share')
            if lines:
                files.append(open(part, encoding='utf-8', newline='\n'))
            readers.append(islice(files[-1], lines) if lines else iter(()))
        with open(temporary, 'w', encoding='utf-8', newline='\n') as merged:
            for turn in range(max(kept, default=0)):
                for part, reader, lines in zip(parts, readers, kept):
                    if turn < lines:
                        line = next(reader, None)
                        if line is None:
                            raise ValueError(f'{part} ends after {turn} of {lines} predictions: disk full, or written '
                                             'by another run at the same time?')
                        merged.write(line)
    finally:
        for file in files:
            file.close()
    temporary.replace(path)
    for part in parts:
        if part.exists():
            part.unlink()


def part_path(path: str | Path, rank: int) -> Path:
    """Where process `rank` writes its share of `path`."""
    path = Path(path)
    return path.with_name(f'{path.name}.part{rank}')


def read_predictions(path: str | Path) -> Iterator[dict[str, Any]]:
    """Read a file of predictions, one at a time.

    Args:
        path: File written by ``RISMetric(out_file=...)``.

    Yields:
        ref_id, sent_id, ann_id, img_path, expression, size ``[H, W]``, counts (compressed COCO run lengths), mask
        (bool array with shape (H, W) at the original size), intersection, union and iou under `protocol`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is not such a record.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no predictions at {path}: write them with RISMetric(out_file=...)')
    with open(path, encoding='utf-8', newline='\n') as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
                run_lengths = {'size': record['size'], 'counts': record['counts'].encode('ascii')}
                record['mask'] = _coco_mask().decode(run_lengths).astype(bool)
                record['iou'] = float('nan') if record['iou'] is None else record['iou']
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f'{path}, line {number} is not a prediction of RISMetric: {error!r}') from error
            yield record


def _coco_mask() -> Any:
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError('predictions are stored as COCO run lengths: pip install pycocotools') from error
    return mask


def _plain(value: Any) -> Any:
    """Turn numpy and torch scalars and arrays in metadata into what JSON has."""
    if hasattr(value, 'tolist'):
        return value.tolist()
    return str(value)
