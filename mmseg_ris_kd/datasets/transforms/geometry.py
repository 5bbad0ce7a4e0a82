"""Geometry that the expression takes part in. Resizing needs nothing of our own: use mmcv's ``Resize``."""
from __future__ import annotations

import re

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

# 'left', 'leftmost', 'left-hand', 'lefty', ... as whole words: neither 'bright', 'alright' nor 'leftovers'
SIDE_WORD = re.compile(r'\b(left|right)(?=(?:most|wards?|hand(?:ed|er)?|side|er|est|y|ie)?\b)', re.IGNORECASE)


def swap_left_right(expression: str) -> str:
    """Exchange the words for left and right in an expression, keeping their case.

    Whole words only, with the endings people use (leftmost, left-hand, lefty, ...). Other senses of the words ("the
    cake that is left") are swapped too: they cannot be told apart without understanding the sentence.

    Args:
        expression: Any text.

    Returns:
        The text that describes the mirrored image.

    Example:
        >>> swap_left_right('Leftmost man, right of the bright lamp')
        'Rightmost man, left of the bright lamp'
    """

    def swap(match: re.Match) -> str:
        word = match.group(1)
        other = 'right' if word.lower() == 'left' else 'left'
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return SIDE_WORD.sub(swap, expression)


@TRANSFORMS.register_module()
class RandomReferringFlip(BaseTransform):
    """Mirror image and target mask horizontally, and exchange left and right in the expression.

    Off in LAVT's recipe. Put it after :class:`SampleExpression`; the draw comes from ``np.random``. Lettering and
    numbers in the image are mirrored as well, which no change of the expression can express.

    Reads ``img``, the maps named in ``seg_fields`` and ``expression``, and changes all of them. Writes ``flip`` and
    ``flip_direction``.

    Args:
        prob: Probability of mirroring, in [0, 1].

    Raises:
        ValueError: ``prob`` is no probability.
        KeyError: No expression has been chosen yet.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if isinstance(prob, bool) or not isinstance(prob, (int, float)) or not 0 <= prob <= 1:
            raise ValueError(f'RandomReferringFlip: prob must be a number in [0, 1], but got {prob!r}')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror ``results`` with the given probability."""
        if 'expression' not in results:
            raise KeyError('RandomReferringFlip needs the chosen expression, because it exchanges left and right in '
                           'it: put SampleExpression before it in the pipeline')
        flip = bool(np.random.rand() < self.prob)
        results['flip'] = flip
        results['flip_direction'] = 'horizontal' if flip else None
        if flip:
            for key in ('img', *results.get('seg_fields', ())):
                results[key] = np.ascontiguousarray(results[key][:, ::-1])
            results['expression'] = swap_left_right(results['expression'])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
