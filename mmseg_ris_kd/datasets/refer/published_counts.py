"""Published sizes of the REFER datasets, to tell a complete copy from a cut one."""
from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """Number of images, refs and expressions of a split."""

    images: int
    refs: int
    expressions: int


PUBLISHED_COUNTS: dict[tuple[str, str], dict[str, Counts]] = {
    ('refcoco', 'unc'): {
        'train': Counts(16994, 42404, 120624), 'val': Counts(1500, 3811, 10834),
        'testA': Counts(750, 1975, 5657), 'testB': Counts(750, 1810, 5095)},
    ('refcoco+', 'unc'): {
        'train': Counts(16992, 42278, 120191), 'val': Counts(1500, 3805, 10758),
        'testA': Counts(750, 1975, 5726), 'testB': Counts(750, 1798, 4889)},
    ('refcocog', 'umd'): {
        'train': Counts(21899, 42226, 80512), 'val': Counts(1300, 2573, 4896), 'test': Counts(2600, 5023, 9602)},
    ('refcocog', 'google'): {'train': Counts(24698, 44822, 85474), 'val': Counts(4650, 5000, 9536)},
    ('grefcoco', 'unc'): {
        'train': Counts(16994, 78930, 209344), 'val': Counts(1501, 4237, 14229),
        'testA': Counts(750, 6265, 19200), 'testB': Counts(750, 4618, 16063)},
}
"""(dataset, splitBy) -> split -> counts; https://github.com/lichengunc/refer and, for gRefCOCO,
https://github.com/henghuiding/gRefCOCO."""


def published_counts(dataset: str, split_by: str) -> dict[str, Counts] | None:
    """Gives the published counts of a dataset.

    Args:
        dataset: Folder name, such as ``'refcoco+'``; case does not matter.
        split_by: Author of the split, as in ``refs(<splitBy>).p``.

    Returns:
        Counts by split, or None where nothing is published for this pair.
    """
    return PUBLISHED_COUNTS.get((dataset.lower(), split_by.lower()))
