"""State-dict entries of published models: their names there and here, and how layouts change."""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """One state-dict entry: its published name, its name here, and how its layout changes.

    Args:
        published: Name in the published model.
        name: Name in this package's module.
        layout: ``same``; ``conv``: weight of a linear layer or 1-D convolution, here of a 1x1 convolution; or
            ``merge``: the input channels of patch merging in another order.
    """
    published: str
    name: str
    layout: str = 'same'


class Conversion(NamedTuple):
    """Converted weights, and what did not convert.

    Args:
        state_dict: Weights under the names of this package's module.
        missing: Published names that the model needs and the checkpoint lacks.
        unknown: Names in the checkpoint that have no place in the model.
        left_out: Names that the model knowingly does without, such as those of a classifier.
    """
    state_dict: dict[str, Tensor]
    missing: list[str]
    unknown: list[str]
    left_out: list[str]


def convert(published: Mapping[str, Tensor], entries: Iterable[Entry], *, ignored: str = '(?!)') -> Conversion:
    """Rename and lay out published weights.

    Args:
        published: Published weights by name.
        entries: What the model consists of.
        ignored: Pattern of names that a model rebuilds or does not use: whole names must match.

    Raises:
        ValueError: A weight has not the dimensions that its name promises.
    """
    entries = list(entries)
    names = {entry.published for entry in entries}
    others = set(published) - names
    state_dict = {}
    for entry in entries:
        if entry.published in published:
            try:
                state_dict[entry.name] = change_layout(published[entry.published], entry.layout)
            except (RuntimeError, ValueError) as error:
                shape = tuple(published[entry.published].shape)
                raise ValueError(f'{entry.published} has the unexpected shape {shape}: {error}') from None
    return Conversion(
        state_dict,
        sorted(names - set(published)),
        sorted(name for name in others if not re.fullmatch(ignored, name)),
        sorted(name for name in others if re.fullmatch(ignored, name)))


def weight_and_bias(published: str, name: str, layout: str = 'same') -> Iterator[Entry]:
    """Yield the two entries of a layer; ``layout`` is the weight's."""
    yield Entry(f'{published}.weight', f'{name}.weight', layout)
    yield Entry(f'{published}.bias', f'{name}.bias')


def count(published: Iterable[str], pattern: str) -> int:
    """Return how many layers the names number, from 0, by the first group of ``pattern``; at least 1."""
    found = [re.match(pattern, name) for name in published]
    return max((int(match.group(1)) + 1 for match in found if match), default=1)


def change_layout(value: Tensor, layout: str) -> Tensor:
    """Return ``value`` as this package's module holds it, see ``Entry``."""
    if layout == 'conv':
        return value.reshape(*value.shape[:2], 1, 1)
    if layout == 'merge':
        # the original Swin concatenates the four pixels of a patch, column after column, channels inside;
        # mmseg unfolds them: channels outside, row after row inside
        *rows, width = value.shape
        columns = value.reshape(*rows, 2, 2, width // 4)  # ... x (dx, dy, C)
        return columns.transpose(-3, -1).reshape(value.shape)  # ... x (C, dy, dx)
    return value
