"""Transforms of referring records: load, sample the expression, flip, pack. Resizing is mmcv's own."""
from .expression import SampleExpression
from .formatting import PackReferringInputs
from .geometry import RandomReferringFlip, swap_left_right
from .loading import LoadReferringImage, LoadReferringMask

__all__ = [
    'LoadReferringImage', 'LoadReferringMask', 'PackReferringInputs', 'RandomReferringFlip', 'SampleExpression',
    'swap_left_right'
]
