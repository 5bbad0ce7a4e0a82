"""Reads the two files of a REFER dataset, trusting neither: ``refs(<splitBy>).p`` and ``instances.json``."""
from __future__ import annotations

import codecs
import json
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

_PYTHON2 = dict(encoding='utf-8', errors='surrogateescape')
_REF_KEYS = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')


def read_refs(split_file: str | Path) -> list[dict[str, Any]]:
    """Reads the ref records of ``refs(<splitBy>).p`` (a pickle) or gRefCOCO's ``grefs(<splitBy>).json``.

    Pickles go through an unpickler that knows plain containers, numbers and strings and nothing else, so no file can
    run code. Byte strings of Python 2 are read as UTF-8 where they are valid UTF-8 and as latin1 where they are not.

    Format: the REFER API of Yu et al., ECCV 2016, https://arxiv.org/abs/1608.00272.

    Args:
        split_file: Path to the file; the ending ``.json`` selects JSON, any other ending means pickle.

    Returns:
        The records in file order. Each is a dict with at least ``ref_id``, ``ann_id``, ``image_id``, ``split`` and
        ``sentences`` (a list of dicts with ``sent`` or ``raw``); text and numbers in them are as the file has them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file calls code, is damaged, or is not a list of ref records.
    """
    path = _existing(split_file, 'split_file', "a REFER dataset's refs(<splitBy>).p or grefs(<splitBy>).json")
    records = _read_json(path) if path.suffix.lower() == '.json' else _read_pickle(path)
    if not isinstance(records, list) or not records:
        found = 'an empty list' if isinstance(records, list) else f'a {type(records).__name__}'
        hint = ' It looks like instances.json: pass that as ann_file.' if _is_coco(records) else ''
        raise ValueError(f'{path}: expected a list of ref records, but the file holds {found}.{hint} '
                         'Use refs(<splitBy>).p (or grefs(<splitBy>).json) of a REFER dataset.')
    for number, record in enumerate(records):
        _check_ref(path, number, record)
    return records


def read_instances(ann_file: str | Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Reads images and annotations of a COCO ``instances.json``.

    Args:
        ann_file: Path to the file.

    Returns:
        The lists ``images`` and ``annotations``; every element is a dict that has an ``id``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, is not JSON or is not COCO.
    """
    path = _existing(ann_file, 'ann_file', "the dataset's instances.json")
    content = _read_json(path)
    if not _is_coco(content):
        found = f'a {type(content).__name__}'
        if isinstance(content, dict):
            found = f'a JSON object with the keys {sorted(content)[:8]}'
        raise ValueError(f'{path}: expected COCO annotations (an object with the lists "images" and "annotations"), '
                         f"but the file holds {found}. Use the instances.json beside the dataset's refs file.")
    for key in ('images', 'annotations'):
        for number, record in enumerate(content[key]):
            if not isinstance(record, dict) or type(record.get('id')) is not int:
                raise ValueError(f'{path}: "{key}" record {number} (counting from 0) has no integer "id": '
                                 f'{record!r:.120}. The file is damaged or not COCO; download it again.')
    return content['images'], content['annotations']


def _existing(file: str | Path, argument: str, what: str) -> Path:
    path = Path(file)
    if not path.is_file():
        state = 'is a folder' if path.is_dir() else 'does not exist'
        raise FileNotFoundError(f'{argument}={str(path)!r} {state}; it must be {what}. '
                                'Expected layout: <data_root>/<dataset>/{refs(<splitBy>).p, instances.json}.')
    return path


def _read_json(path: Path) -> Any:
    try:
        with path.open(encoding='utf-8') as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise ValueError(f'{path} is not valid JSON ({error}). It is truncated or damaged: download or unpack it '
                         'again.') from error


def _read_pickle(path: Path) -> Any:
    try:
        with path.open('rb') as file:
            return _PlainUnpickler(file, path).load()
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # a damaged pickle can raise nearly anything, from EOFError to TypeError
        raise ValueError(f'{path} is not a readable pickle ({type(error).__name__}: {error}). It is truncated, '
                         'damaged or another kind of file: download or unpack it again.') from error


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ('images', 'annotations'))


def _check_ref(path: Path, number: int, record: Any) -> None:
    where = f'{path}: record {number} (counting from 0)'
    fix = "The file is damaged or not a REFER refs file; get it again from the dataset's source."
    if not isinstance(record, dict):
        raise ValueError(f'{where} is a {type(record).__name__}, expected a dict with {", ".join(_REF_KEYS)}. {fix}')
    missing = [key for key in _REF_KEYS if key not in record]
    if missing:
        raise ValueError(f'{where} has no {", ".join(missing)}; its keys are {sorted(map(str, record))[:12]}. {fix}')
    if not isinstance(record['split'], str):
        raise ValueError(f'{where}: "split" is {record["split"]!r:.60}, expected a name such as "val". {fix}')
    if not isinstance(record['sentences'], (list, tuple)):
        raise ValueError(f'{where}: "sentences" is a {type(record["sentences"]).__name__}, expected a list. {fix}')
    for position, sentence in enumerate(record['sentences']):
        texts = [sentence[key] for key in ('sent', 'raw') if key in sentence] if isinstance(sentence, dict) else []
        if not texts or not all(isinstance(text, (str, bytes)) for text in texts):
            raise ValueError(f'{where}: sentence {position} has no text under "sent" or "raw": {sentence!r:.120}. '
                             f'{fix}')


class _RefusedError(Exception):
    """A pickle asked for something that is not plain data."""


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler for plain data: a name that a pickle may use means a harmless stand-in, made for this one load."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, **_PYTHON2)
        self._path = path
        self._known = _plain_globals()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise _RefusedError(
                f'{self._path} asks to use {module}.{name} and was refused: a REFER file holds only lists, dicts, '
                'numbers and strings, and a pickle that names anything else can run code. Do not trust this copy; '
                'get refs(<splitBy>).p from the original source.') from None


def _plain_globals() -> dict[tuple[str, str], Any]:
    """Stand-ins by (module, name); fresh ones per load, because a pickle may set attributes on what it gets."""

    class Dtype:
        """Keeps a NumPy scalar type's name ('i8') and byte order."""

        def __init__(self, name: str, *_flags: Any) -> None:
            self.name, self.order = name, '<'

        def __setstate__(self, state: tuple) -> None:
            self.order = '>' if state[1] in ('>', b'>') else '<'

    def scalar(dtype: Any, data: Any) -> Any:
        codes = {'b1': '?', 'i1': 'b', 'i2': 'h', 'i4': 'i', 'i8': 'q', 'u1': 'B', 'u2': 'H', 'u4': 'I', 'u8': 'Q',
                 'f4': 'f', 'f8': 'd'}
        data = data.encode(**_PYTHON2) if isinstance(data, str) else data
        return struct.unpack(dtype.order + codes[clean_text(dtype.name)], data)[0]

    def encode(value: str, encoding: str = 'utf-8') -> bytes:  # how protocols 0-2 spell a bytes object
        if codecs.lookup(encoding).name not in ('iso8859-1', 'utf-8', 'ascii'):
            raise ValueError(f'unexpected text encoding {encoding!r}')
        return value.encode(encoding)

    def empty_bytes() -> bytes:
        return b''

    known: dict[tuple[str, str], Any] = {
        ('collections', 'OrderedDict'): OrderedDict, ('_codecs', 'encode'): encode, ('numpy', 'dtype'): Dtype,
        ('numpy.core.multiarray', 'scalar'): scalar, ('numpy._core.multiarray', 'scalar'): scalar}
    for module in ('builtins', '__builtin__'):
        known.update({(module, 'set'): set, (module, 'frozenset'): frozenset, (module, 'bytes'): empty_bytes})
    return known




def clean_text(value: str | bytes) -> str:
    """Gives text that always encodes to UTF-8.

    Args:
        value: A string of a REFER file; bytes, undecodable bytes of a Python-2 string and surrogate pairs are allowed.

    Returns:
        The text: bytes that are not UTF-8 are read as latin1, surrogate pairs are joined, lone ones become U+FFFD.
    """
    if isinstance(value, bytes):
        value = value.decode(**_PYTHON2)
    if value.isascii():
        return value
    try:
        value.encode('utf-8')
        return value
    except UnicodeEncodeError:
        pass
    try:
        return value.encode(**_PYTHON2).decode('latin1')
    except UnicodeEncodeError:  # surrogates that do not stand for bytes
        return value.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')
