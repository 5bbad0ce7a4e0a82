"""Turns parsed REFER files into a few flat arrays."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...expressions import is_empty
from .files import clean_text
from .masks import SegmentationError, parse_segmentation

MAX_WORDS = 128
TABLES: dict[str, np.dtype] = {
    'images': np.dtype([('image_id', 'i8'), ('height', 'i4'), ('width', 'i4'), ('name', 'i8'), ('name_size', 'i4')]),
    'annotations': np.dtype([('segmentation', 'i8'), ('size', 'i8')]),
    'refs': np.dtype([('ref_id', 'i8'), ('image_id', 'i8'), ('image', 'i4'), ('split', 'i4'), ('target', 'i8'),
                      ('targets', 'i4'), ('category', 'i8'), ('categories', 'i4'), ('sentence', 'i8'),
                      ('sentences', 'i4')]),
    'targets': np.dtype([('ann_id', 'i8'), ('annotation', 'i4')]),
    'categories': np.dtype('i8'),
    'sentences': np.dtype([('sent_id', 'i8'), ('ref', 'i4'), ('raw', 'i8'), ('raw_size', 'i4'), ('sent', 'i8'),
                           ('sent_size', 'i4')]),
    'blob': np.dtype('u1'),
}
"""Arrays of an index. ``name``, ``segmentation``, ``raw`` and ``sent`` are byte offsets into ``blob``; ``image``,
``annotation`` and ``ref`` are row numbers, -1 where the record is missing; ``target``, ``category`` and ``sentence``
are the first of consecutive rows."""


class Fault(NamedTuple):
    """A defect of one ref's data.

    Args:
        ref_row: Row of the ref, in file order.
        ref_id: Its id in the file.
        kind: ``missing_annotation``, ``missing_image``, ``image_mismatch``, ``polygon``, ``rle``, ``segmentation``,
            ``empty_expression``, ``long_expression`` or ``no_sentences``.
        message: File, ids, what is wrong and what to do.
        field: For an expression of which only one field is faulty, that field (``raw`` or ``sent``); else empty.
    """

    ref_row: int
    ref_id: int
    kind: str
    message: str
    field: str = ''


class ReferTables(NamedTuple):
    """Everything an index is made of.

    Args:
        arrays: Name to array, see :data:`TABLES`.
        splits: Split names in order of appearance.
        faults: Data faults in file order.
    """

    arrays: dict[str, np.ndarray]
    splits: tuple[str, ...]
    faults: list[Fault]


def build_tables(refs: Sequence[dict[str, Any]], images: Sequence[dict[str, Any]],
                 annotations: Sequence[dict[str, Any]], *, split_file: str | Path,
                 ann_file: str | Path) -> ReferTables:
    """Builds the arrays of an index; of images and annotations only those that a ref uses are kept.

    Args:
        refs: Records of the refs file.
        images: ``images`` of instances.json.
        annotations: ``annotations`` of instances.json.
        split_file: Where the refs came from, for messages.
        ann_file: Where images and annotations came from, for messages.

    Returns:
        The arrays, the split names and the faults found.

    Raises:
        ValueError: If a record has no usable id or size, naming file, record number and fix.
    """
    builder = _Builder(images, annotations, Path(split_file), Path(ann_file))
    for number, record in enumerate(refs):
        builder.add(number, record)
    return builder.finish()


class _Builder:
    """Collects rows; one call of ``add`` per ref."""

    def __init__(self, images: Sequence[dict], annotations: Sequence[dict], split_file: Path, ann_file: Path) -> None:
        self.split_file, self.ann_file = split_file, ann_file
        self.images = {image['id']: (number, image) for number, image in enumerate(images)}
        self.annotations = {annotation['id']: annotation for annotation in annotations}
        self.image_rows: dict[int, int] = {}
        self.annotation_rows: dict[int, int] = {}
        self.bad_segmentations: dict[int, tuple[str, str]] = {}
        self.splits: dict[str, int] = {}
        self.rows: dict[str, list] = {name: [] for name in TABLES if name != 'blob'}
        self.blob = bytearray()
        self.faults: list[Fault] = []

    def add(self, number: int, record: dict[str, Any]) -> None:
        def integer(key: str, value: Any) -> int:
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if type(value) is not int or not -2**63 <= value < 2**63:
                raise ValueError(f'{self.split_file}: record {number} (counting from 0): "{key}" is {value!r:.60}, '
                                 'expected an integer. The file is damaged or not a REFER refs file; get it again.')
            return value

        def integers(key: str) -> list[int]:
            value = record.get(key, [])
            values = [integer(key, item) for item in (value if isinstance(value, (list, tuple)) else [value])]
            return [] if isinstance(value, (list, tuple)) and values == [-1] else values  # [-1]: gRefCOCO's no target

        ref_id, image_id = integer('ref_id', record['ref_id']), integer('image_id', record['image_id'])
        ann_ids, categories = integers('ann_id'), integers('category_id')
        rows, ref_row = self.rows, len(self.rows['refs'])
        split = self.splits.setdefault(clean_text(record['split']), len(self.splits))
        rows['refs'].append((ref_id, image_id, self._image(ref_row, ref_id, image_id), split, len(rows['targets']),
                             len(ann_ids), len(rows['categories']), len(categories), len(rows['sentences']),
                             len(record['sentences'])))
        rows['targets'] += [(ann_id, self._annotation(ref_row, ref_id, image_id, ann_id)) for ann_id in ann_ids]
        rows['categories'] += categories
        if not record['sentences']:
            self._fault(ref_row, ref_id, 'no_sentences', f'{self.split_file}: ref {ref_id} (record {ref_row}) has no '
                        'sentences; add one or remove the ref from the file')
        for sentence in record['sentences']:
            sent_id = integer('sent_id', sentence.get('sent_id', len(rows['sentences'])))
            raw, sent = (clean_text(sentence[key if key in sentence else other])
                         for key, other in (('raw', 'sent'), ('sent', 'raw')))
            self._check_text(ref_row, ref_id, sent_id, raw, sent)
            place = self._store(raw)
            rows['sentences'].append((sent_id, ref_row, *place, *(place if raw == sent else self._store(sent))))

    def finish(self) -> ReferTables:
        arrays = {name: np.array(rows, dtype=TABLES[name]) for name, rows in self.rows.items()}
        arrays['blob'] = np.frombuffer(bytes(self.blob), dtype=np.uint8)
        return ReferTables(arrays, tuple(self.splits), self.faults)

    def _fault(self, ref_row: int, ref_id: int, kind: str, message: str, field: str = '') -> None:
        self.faults.append(Fault(ref_row, ref_id, kind, message, field))

    def _store(self, text: str) -> tuple[int, int]:
        data = text.encode('utf-8')
        self.blob += data
        return len(self.blob) - len(data), len(data)

    def _image(self, ref_row: int, ref_id: int, image_id: int) -> int:
        if image_id in self.image_rows:
            return self.image_rows[image_id]
        if image_id not in self.images:
            self._fault(ref_row, ref_id, 'missing_image', f'{self.ann_file}: image {image_id} of ref {ref_id} is not '
                        f'among its images; use the instances.json that belongs to {self.split_file}')
            return -1
        number, image = self.images[image_id]
        size = (image.get('height'), image.get('width'))
        if not isinstance(image.get('file_name'), str) or any(type(x) is not int or not 0 < x < 2**31 for x in size):
            raise ValueError(f'{self.ann_file}: "images" record {number} (counting from 0, id {image_id}) needs a '
                             f'"file_name" and a positive integer "height" and "width", but is {image!r:.160}. '
                             'Download the file again.')
        self.image_rows[image_id] = len(self.rows['images'])
        self.rows['images'].append((image_id, *size, *self._store(clean_text(image['file_name']))))
        return self.image_rows[image_id]

    def _annotation(self, ref_row: int, ref_id: int, image_id: int, ann_id: int) -> int:
        annotation = self.annotations.get(ann_id)
        if annotation is None:
            self._fault(ref_row, ref_id, 'missing_annotation', f'{self.ann_file}: annotation {ann_id} of ref {ref_id} '
                        f'is not among its annotations; use the instances.json that belongs to {self.split_file}')
            return -1
        if annotation.get('image_id') != image_id:
            self._fault(ref_row, ref_id, 'image_mismatch', f'{self.ann_file}: annotation {ann_id} belongs to image '
                        f'{annotation.get("image_id")!r:.40}, but ref {ref_id} of {self.split_file} says image '
                        f'{image_id}; use files of the same download, or correct image_id')
        if ann_id not in self.annotation_rows:
            self.annotation_rows[ann_id] = len(self.rows['annotations'])
            self.rows['annotations'].append(self._store(json.dumps(annotation.get('segmentation'))))
            # The image's size is what RLEs are held against; without the image only polygons can be judged.
            image = self.images.get(image_id, (0, {}))[1]
            try:
                parse_segmentation(annotation.get('segmentation'), image.get('height', 0), image.get('width', 0))
            except SegmentationError as error:
                if image or error.kind != 'rle':
                    self.bad_segmentations[ann_id] = (error.kind, str(error))
        if ann_id in self.bad_segmentations:
            kind, problem = self.bad_segmentations[ann_id]
            self._fault(ref_row, ref_id, kind, f'{self.ann_file}: annotation {ann_id} of ref {ref_id}: {problem}; '
                        'correct the annotation or download the file again')
        return self.annotation_rows[ann_id]

    def _check_text(self, ref_row: int, ref_id: int, sent_id: int, raw: str, sent: str) -> None:
        where = f'{self.split_file}: sentence {sent_id} of ref {ref_id}'
        problems = {'raw': _text_problem(raw)}
        problems['sent'] = problems['raw'] if raw == sent else _text_problem(sent)
        field = '' if all(problems.values()) else 'raw' if problems['raw'] else 'sent'
        kind, message = problems['raw'] or problems['sent'] or ('', '')
        if kind:
            self._fault(ref_row, ref_id, kind, f'{where} {message}' + (f' (field "{field}")' if field else ''), field)


def _text_problem(text: str) -> tuple[str, str] | tuple[()]:
    words = len(text.split())
    if words > MAX_WORDS:
        return ('long_expression', f'is {words} words long, at most {MAX_WORDS} make sense; shorten or remove it: '
                f'{text[:60]!r}...')
    if is_empty(text):
        return 'empty_expression', f'is empty ({text[:60]!a}); write an expression or remove it'
    return ()
