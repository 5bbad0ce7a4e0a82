"""Prints images, refs and expressions per split of REFER datasets and compares them with the published counts."""
from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prettytable import PrettyTable

from mmseg_ris_kd.datasets.refer import Counts, Fault, ReferIndex, load_refer_index, published_counts

_REFS_FILE = re.compile(r'(?:refs\((?P<p>[^()]*)\)\.p|grefs\((?P<json>[^()]*)\)\.json)')
_COLUMNS = ('dataset', 'splitBy', 'split', 'images', 'refs', 'expressions', 'published', 'verdict', 'longest (words)',
            'faults')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Expected layout: <data_root>/<dataset>/refs(<splitBy>).p, or grefs(<splitBy>).json, beside '
               'instances.json. Verdicts: match, differs, absent (a published split that the file lacks), unknown '
               '(nothing published). A fault is a ref whose annotation, image record or expression is missing or '
               'broken. Image files are not looked at: browse_dataset.py and training report those that are missing.')
    parser.add_argument('data_root', type=Path, help='folder that holds one folder per dataset')
    parser.add_argument('--dataset', nargs='+', metavar='NAME',
                        help='folders to look into, such as refcoco refcoco+ (default: all that hold refs files)')
    parser.add_argument('--cache-dir', type=Path,
                        help='where parsed files are kept (default: $MMSEG_RIS_KD_CACHE, else ~/.cache/mmseg_ris_kd)')
    parser.add_argument('--show-faults', action='store_true', help='print the message of every fault')
    parser.add_argument('--strict', action='store_true',
                        help='exit with code 1 if a split differs from its published counts')
    return parser.parse_args(argv)


def find_refs_files(data_root: Path, datasets: Sequence[str] | None = None) -> list[tuple[str, str, Path]]:
    """Finds the refs files below a folder.

    Args:
        data_root: Folder that holds one folder per dataset.
        datasets: Names of the dataset folders; None for all that hold refs files.

    Returns:
        (dataset, splitBy, path of the refs file), sorted.

    Raises:
        FileNotFoundError: If the folder, a named dataset or any refs file is missing.
    """
    if not data_root.is_dir():
        raise FileNotFoundError(f'data_root {str(data_root)!r} is not a folder; pass the folder that holds refcoco/, '
                                'refcoco+/, ...')
    found = sorted((folder.name, match['p'] or match['json'] or '', path)
                   for folder in data_root.iterdir() if folder.is_dir()
                   for path in folder.iterdir() for match in [_REFS_FILE.fullmatch(path.name)] if match)
    if not found:
        inside = any(_REFS_FILE.fullmatch(path.name) for path in data_root.iterdir())
        hint = f'Pass its parent folder {data_root.resolve().parent}.' if inside else 'Expected <data_root>/refcoco/...'
        raise FileNotFoundError(f'No <dataset>/refs(<splitBy>).p or <dataset>/grefs(<splitBy>).json below {data_root}. '
                                + hint)
    names = sorted({dataset for dataset, _, _ in found})
    for name in datasets or ():
        if name not in names:
            raise FileNotFoundError(f'--dataset {name}: no refs file in {data_root / name}; datasets found: '
                                    f'{", ".join(names)}')
    return [item for item in found if not datasets or item[0] in datasets]


def compare(counts: Counts, published: Counts | None) -> str:
    """Says ``'match'``, ``'differs'`` or, without published counts, ``'unknown'``."""
    if published is None:
        return 'unknown'
    return 'match' if counts == published else 'differs'


def longest_expression(index: ReferIndex, split: str) -> int:
    """Gives the number of words of a split's longest expression, of ``raw`` and ``sent`` the longer."""
    sentences = (index.sentence(row) for ref_row in index.ref_rows(split) for row in index.sentence_rows(ref_row))
    return max((max(len(sentence['raw'].split()), len(sentence['sent'].split())) for sentence in sentences), default=0)


def dataset_rows(dataset: str, split_by: str, index: ReferIndex) -> list[list]:
    """Makes the table rows of one refs file: its splits, then the published splits that it lacks.

    Args:
        dataset: Folder name of the dataset.
        split_by: Author of the split.
        index: The opened file.

    Returns:
        Rows in the order of the table's columns.
    """
    published = published_counts(dataset, split_by) or {}
    faults = Counter(index.ref(fault.ref_row)['split'] for fault in index.faults)
    rows = []
    for split in index.splits:
        counts = index.counts(split)
        expected = published.get(split)
        rows.append([dataset, split_by, split, *counts, _join(expected), compare(counts, expected),
                     longest_expression(index, split), faults[split]])
    rows += [[dataset, split_by, split, '-', '-', '-', _join(expected), 'absent', '-', '-']
             for split, expected in published.items() if split not in index.splits]
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool.

    Args:
        argv: Command line without the program's name; None for that of the process.

    Returns:
        Exit code: 0; 1 with ``--strict`` if something differs; 2 if a file could not be read.
    """
    args = parse_args(argv)
    try:
        files = find_refs_files(args.data_root, args.dataset)
    except FileNotFoundError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    table = PrettyTable(_COLUMNS)
    table.align.update({name: 'r' for name in ('images', 'refs', 'expressions', 'longest (words)', 'faults')})
    faults: list[Fault] = []
    errors: list[Exception] = []
    for dataset, split_by, path in files:
        try:
            index = load_refer_index(path, path.with_name('instances.json'), args.cache_dir)
        except (ValueError, OSError) as error:
            errors.append(error)
            continue
        table.add_rows(dataset_rows(dataset, split_by, index))
        faults += index.faults
    print(table)
    print('published: images / refs / expressions')
    if args.show_faults:
        for fault in faults:
            print(f'{fault.kind}: {fault.message}')
    for error in errors:
        print(f'error: {error}', file=sys.stderr)
    differs = any('differs' in row for row in table.rows)
    return 2 if errors else int(args.strict and differs)


def _join(counts: Counts | None) -> str:
    return '-' if counts is None else ' / '.join(map(str, counts))


if __name__ == '__main__':
    sys.exit(main())
