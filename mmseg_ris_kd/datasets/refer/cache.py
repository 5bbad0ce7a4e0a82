"""Keeps a parsed REFER index on disk, so that later starts and worker processes map it instead of parsing again."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
import zlib
from pathlib import Path

import numpy as np

from .tables import TABLES, Fault, ReferTables

FORMAT_VERSION = 2


def default_cache_dir() -> Path:
    """Gives ``$MMSEG_RIS_KD_CACHE``, else ``$XDG_CACHE_HOME/mmseg_ris_kd``, else ``~/.cache/mmseg_ris_kd``."""
    if os.environ.get('MMSEG_RIS_KD_CACHE'):
        return Path(os.environ['MMSEG_RIS_KD_CACHE']).expanduser()
    base = os.environ.get('XDG_CACHE_HOME')
    return (Path(base) if base else Path.home() / '.cache') / 'mmseg_ris_kd'


def entry_path(split_file: Path, ann_file: Path, cache_dir: Path) -> Path:
    """Names the cache entry of two files in their present state.

    Args:
        split_file: Refs file; must exist.
        ann_file: Annotation file; must exist.
        cache_dir: Cache directory.

    Returns:
        A folder below ``cache_dir``. Its name starts with a hash of the absolute paths and ends with a hash of sizes,
        modification times and the format version, so a changed file has another entry.
    """
    paths = [path.resolve() for path in (split_file, ann_file)]
    state = [(stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in paths)]
    names = _digest([str(path) for path in paths])
    return cache_dir / 'refer' / f'{names}-{_digest([FORMAT_VERSION, state])}'


def read_entry(entry: Path, *, verify: bool = True) -> ReferTables | None:
    """Maps a cache entry into memory.

    Args:
        entry: Folder named by :func:`entry_path`.
        verify: Compare checksums too, not only names, types and sizes.

    Returns:
        The tables with read-only memory-mapped arrays, or None if the entry is absent or damaged.
    """
    try:
        meta = json.loads((entry / 'meta.json').read_text(encoding='utf-8'))
        arrays = {}
        for name, dtype in TABLES.items():
            array = np.load(entry / f'{name}.npy', mmap_mode='r', allow_pickle=False)
            size, checksum = meta['arrays'][name]
            if array.dtype != dtype or array.shape != (size,) or (verify and _checksum(array) != checksum):
                return None
            arrays[name] = array
        return ReferTables(arrays, tuple(meta['splits']), [Fault(*fault) for fault in meta['faults']])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def write_entry(entry: Path, tables: ReferTables) -> None:
    """Writes a cache entry in one step: other processes see the old one, none, or the whole new one.

    Entries of earlier states of the same files are removed.

    Args:
        entry: Folder named by :func:`entry_path`.
        tables: What to keep.

    Raises:
        OSError: If the cache directory cannot be written.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    scratch = entry.parent / f'.{entry.name}-{uuid.uuid4().hex}'
    scratch.mkdir()
    try:
        for name, array in tables.arrays.items():
            np.save(scratch / f'{name}.npy', array, allow_pickle=False)
        meta = dict(splits=tables.splits, faults=tables.faults,
                    arrays={name: (array.size, _checksum(array)) for name, array in tables.arrays.items()})
        (scratch / 'meta.json').write_text(json.dumps(meta), encoding='utf-8')
        _put_in_place(scratch, entry)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for old in entry.parent.glob(entry.name.split('-')[0] + '-*'):
        if old != entry:
            shutil.rmtree(old, ignore_errors=True)


def _put_in_place(scratch: Path, entry: Path) -> None:
    try:
        os.replace(scratch, entry)
        return
    except OSError:  # a folder that is not empty cannot be replaced
        if read_entry(entry) is not None:
            return  # another process was faster
    if entry.is_dir():
        os.replace(entry, scratch / 'damaged')  # goes away with the scratch folder
        shutil.rmtree(scratch / 'damaged', ignore_errors=True)
    else:
        entry.unlink()
    os.replace(scratch, entry)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode('utf-8')).hexdigest()[:20]


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)
