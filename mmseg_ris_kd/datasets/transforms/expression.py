"""Choose the expression of a record."""
from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ...expressions import is_empty
from .loading import describe_record


@TRANSFORMS.register_module()
class SampleExpression(BaseTransform):
    """Choose one of the expressions of a record, all equally likely.

    The choice is drawn here, from ``np.random``, and not in the dataset: :class:`RISDataset` seeds the generator per
    epoch and record, so that a ref meets its expressions over the epochs and a resumed run meets the same ones. A
    record of one expression (at test) draws nothing. The text is passed on as it is: no lower-casing, no truncation.

    Reads ``sentences``, a list of ``dict(sent_id=int, text=str)``. Writes ``expression`` and ``sent_id``.

    Raises:
        ValueError: The record has no expression, or the chosen one is empty: it has no visible character.
    """

    def transform(self, results: dict) -> dict:
        """Add the chosen expression to ``results``."""
        sentences = results.get('sentences')
        if not sentences:
            raise ValueError(f'{describe_record(results)} has no expression: `sentences` is {sentences!r}, but must be '
                             'a list of dict(sent_id=int, text=str)')
        chosen = sentences[np.random.randint(len(sentences)) if len(sentences) > 1 else 0]
        if is_empty(chosen['text']):
            raise ValueError(f'the expression with sent_id {chosen["sent_id"]} of {describe_record(results)} is empty '
                             f'({chosen["text"][:60]!a}): correct it in the split file, or choose the other '
                             'expression_field (raw or sent)')
        results['expression'] = chosen['text']
        results['sent_id'] = chosen['sent_id']
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
