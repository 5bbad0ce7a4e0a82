"""The index of a REFER dataset: refs, expressions and targets of ``refs(<splitBy>).p`` and ``instances.json``."""
from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from .cache import default_cache_dir, entry_path, read_entry, write_entry
from .files import read_instances, read_refs
from .published_counts import Counts
from .tables import Fault, ReferTables, build_tables

_LONG_BYTES = 16 * 2**20  # from here on parsing takes long enough to say so


def load_refer_index(split_file: str | os.PathLike[str], ann_file: str | os.PathLike[str],
                     cache_dir: str | os.PathLike[str] | None = None) -> ReferIndex:
    """Opens a REFER dataset, parsing its files only when the cache has nothing for their present state.

    Args:
        split_file: ``refs(<splitBy>).p``, or gRefCOCO's ``grefs(<splitBy>).json``.
        ann_file: ``instances.json`` of the same dataset.
        cache_dir: Where to keep the parsed index. Default: ``$MMSEG_RIS_KD_CACHE``, else
            ``$XDG_CACHE_HOME/mmseg_ris_kd``, else ``~/.cache/mmseg_ris_kd``. If it cannot be written, a warning says so
            and the index stays in memory.

    Returns:
        The index. Where the cache works its arrays are memory-mapped: processes share them, pickling sends a path.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, is not what it should be, or tries to run code.
    """
    split_path, ann_path = Path(split_file), Path(ann_file)
    if not (split_path.is_file() and ann_path.is_file()):
        return _parse(split_path, ann_path)  # raises, naming the missing file
    entry = entry_path(split_path, ann_path, Path(cache_dir) if cache_dir is not None else default_cache_dir())
    tables = read_entry(entry)
    if tables is None:
        index = _parse(split_path, ann_path)
        try:
            write_entry(entry, index.tables)
        except OSError as error:
            warnings.warn(f'Cannot write the index of {split_path} to the cache {entry.parent} ({error}); it stays in '
                          'memory and is parsed again at every start. Set $MMSEG_RIS_KD_CACHE to a writable folder.',
                          stacklevel=2)
        tables = read_entry(entry)
        if tables is None:
            return index
    return ReferIndex(tables, split_file=split_path, ann_file=ann_path, entry=entry)


class ReferIndex:
    """Read access to one REFER dataset by row: refs and sentences are numbered in file order, over all splits.

    Made by :func:`load_refer_index`.

    Args:
        tables: The arrays.
        split_file: Refs file they were made of.
        ann_file: Annotation file they were made of.
        entry: Cache entry that the arrays are mapped from; None if they are held in memory.
    """

    def __init__(self, tables: ReferTables, *, split_file: Path, ann_file: Path,
                 entry: Path | None = None) -> None:
        self.tables = tables
        self.split_file, self.ann_file, self.entry = Path(split_file), Path(ann_file), entry
        # plain views: indexing np.memmap itself is slow
        arrays = {name: array.view(np.ndarray) for name, array in tables.arrays.items()}
        self._images, self._annotations, self._refs = arrays['images'], arrays['annotations'], arrays['refs']
        self._targets, self._categories = arrays['targets'], arrays['categories']
        self._sentences, self._blob = arrays['sentences'], arrays['blob']

    def __reduce__(self) -> tuple[Any, tuple]:
        if self.entry is not None:
            return _reopen, (self.split_file, self.ann_file, self.entry)
        return _from_memory, (self.tables, self.split_file, self.ann_file)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}({str(self.split_file)!r}, splits={self.splits}, refs={len(self._refs)}, '
                f'expressions={len(self._sentences)}, faults={len(self.faults)})')

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in order of appearance."""
        return self.tables.splits

    @property
    def faults(self) -> list[Fault]:
        """Data faults of single refs, in file order; whoever reads a faulty ref decides to raise or to skip it."""
        return self.tables.faults

    def ref_rows(self, split: str) -> np.ndarray:
        """Gives the rows of a split's refs.

        Args:
            split: Name of the split, such as ``'testA'``.

        Returns:
            int64 array with shape (refs,), in file order.

        Raises:
            ValueError: If the file has no such split.
        """
        if split not in self.splits:
            raise ValueError(f'{self.split_file} has no split {split!r}; it has {", ".join(map(repr, self.splits))}. '
                             'Choose one of these or another refs file.')
        return np.flatnonzero(self._refs['split'] == self.splits.index(split))

    def sentence_rows(self, ref_row: int) -> range:
        """Gives the rows of a ref's sentences, in file order."""
        first, count = self._refs[['sentence', 'sentences']][ref_row].item()
        return range(first, first + count)

    def num_sentences(self, ref_rows: Sequence[int] | np.ndarray) -> int:
        """Counts the sentences of several refs."""
        return int(self._refs['sentences'][np.asarray(ref_rows, dtype=np.int64)].sum())

    def counts(self, split: str) -> Counts:
        """Counts the different images, the refs and the expressions of a split.

        Args:
            split: Name of the split.

        Returns:
            Named tuple (images, refs, expressions).

        Raises:
            ValueError: If the file has no such split.
        """
        rows = self.ref_rows(split)
        return Counts(len(np.unique(self._refs['image_id'][rows])), len(rows), self.num_sentences(rows))

    def ref(self, ref_row: int) -> dict[str, Any]:
        """Gives a ref.

        Args:
            ref_row: Row of the ref.

        Returns:
            dict with ``ref_id``, ``ann_id`` (int; list of int for several targets; [] for none), ``category_id`` (int,
            or list of int; -1 if the file has none), ``split``, and of the image ``image_id``, ``file_name``,
            ``height`` and ``width`` (pixels) as instances.json has them. A ref with a ``missing_image`` fault has
            file name '' and size 0.
        """
        row = self._refs[ref_row]
        ann_ids = self._targets['ann_id'][row['target']:row['target'] + row['targets']].tolist()
        categories = self._categories[row['category']:row['category'] + row['categories']].tolist()
        file_name, height, width = '', 0, 0
        if row['image'] >= 0:
            _, height, width, name, size = self._images[row['image']].item()
            file_name = self._text(name, size)
        return dict(ref_id=int(row['ref_id']), ann_id=ann_ids[0] if len(ann_ids) == 1 else ann_ids,
                    category_id=-1 if not categories else categories[0] if len(categories) == 1 else categories,
                    split=self.splits[row['split']], image_id=int(row['image_id']), file_name=file_name, height=height,
                    width=width)

    def sentence(self, sentence_row: int) -> dict[str, Any]:
        """Gives a sentence: dict with ``sent_id``, ``raw`` (as written) and ``sent`` (as the authors cleaned it).

        Where the file has only one of the two texts, both are that one.
        """
        sent_id, _, raw, raw_size, sent, sent_size = self._sentences[sentence_row].item()
        return dict(sent_id=sent_id, raw=self._text(raw, raw_size), sent=self._text(sent, sent_size))

    def ref_of_sentence(self, sentence_row: int) -> int:
        """Gives the row of the ref that a sentence belongs to."""
        return int(self._sentences['ref'][sentence_row])

    def targets(self, ref_row: int) -> list[Any]:
        """Gives the raw COCO ``segmentation`` of each annotation of a ref, for :func:`decode_target`.

        Args:
            ref_row: Row of the ref.

        Returns:
            One value per annotation; empty for a ref without a target.

        Raises:
            ValueError: If an annotation is missing from instances.json (the ref has a ``missing_annotation`` fault).
        """
        row = self._refs[ref_row]
        segmentations = []
        for ann_id, annotation in self._targets[row['target']:row['target'] + row['targets']].tolist():
            if annotation < 0:
                raise ValueError(f'{self.ann_file}: annotation {ann_id} of ref {row["ref_id"]} is not among its '
                                 f'annotations; use the instances.json that belongs to {self.split_file}')
            segmentations.append(json.loads(self._text(*self._annotations[annotation].item())))
        return segmentations

    def _text(self, offset: int, size: int) -> str:
        return self._blob[offset:offset + size].tobytes().decode('utf-8')


def _parse(split_file: Path, ann_file: Path) -> ReferIndex:
    size = sum(file.stat().st_size for file in (split_file, ann_file) if file.is_file())
    if size > _LONG_BYTES:
        print_log(f'Indexing {split_file} and {ann_file} ({size / 2**20:.0f} MiB) ...', 'current')
    refs = read_refs(split_file)
    images, annotations = read_instances(ann_file)
    tables = build_tables(refs, images, annotations, split_file=split_file, ann_file=ann_file)
    return ReferIndex(tables, split_file=split_file, ann_file=ann_file)


def _reopen(split_file: Path, ann_file: Path, entry: Path) -> ReferIndex:
    tables = read_entry(entry, verify=False)
    if tables is not None:
        return ReferIndex(tables, split_file=split_file, ann_file=ann_file, entry=entry)
    cache_dir = entry.parent.parent
    if entry_path(split_file, ann_file, cache_dir) != entry:
        raise ValueError(f'{split_file} or {ann_file} changed after this run had opened them; start the run again.')
    return load_refer_index(split_file, ann_file, cache_dir)


def _from_memory(tables: ReferTables, split_file: Path, ann_file: Path) -> ReferIndex:
    return ReferIndex(tables, split_file=split_file, ann_file=ann_file)
