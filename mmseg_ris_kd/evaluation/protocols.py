"""Evaluation protocols of the field, one frozen record each."""
from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from .functional import COMPARISONS

RESOLUTIONS = ('original', 'input')
MASK_RULES = ('prediction', 'argmax', 'threshold')


@dataclass(frozen=True)
class Protocol:
    """How masks are made, compared and counted; the same model scores differently under each.

    Args:
        name: Printed with every result.
        resolution: ``'original'``: masks are compared at the size of the image on disk. ``'input'``: at the resized
            network input, the target resized there with pillow's nearest neighbour.
        mask_rule: ``'prediction'``: the model's own ``pred_sem_seg``. ``'argmax'``: the larger of two logits (a single
            logit is compared with 0). ``'threshold'``: foreground probability > `mask_threshold`, the sigmoid of a
            single logit or the softmax of two.
        mask_threshold: Probability in (0, 1) for ``mask_rule='threshold'``.
        comparison: Pr@X counts IoU ``'>='`` X or ``'>'`` X.
        thresholds: The values X of Pr@X.
        empty_iou: IoU of an empty prediction of an empty target (union + eps = 0); may be NaN.
        eps: Added to the union before dividing.
        expression_field: Text that the dataset reads, ``'raw'`` or ``'sent'``. This and `overlap` belong to the data,
            not to the metric: ``tools/test.py --protocol`` sets them in the dataset.
        overlap: What overlapping parts of one polygon annotation mean, see ``LoadReferringMask``.

    Raises:
        ValueError: A value is none of the above.
    """
    name: str
    resolution: str = 'original'
    mask_rule: str = 'prediction'
    mask_threshold: float = 0.5
    comparison: str = '>='
    thresholds: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)
    empty_iou: float = 1.0
    eps: float = 0.0
    expression_field: str = 'raw'
    overlap: str = 'union'

    def __post_init__(self) -> None:
        for field, valid in (('resolution', RESOLUTIONS), ('mask_rule', MASK_RULES), ('comparison', COMPARISONS)):
            if getattr(self, field) not in valid:
                raise ValueError(f'Expected `{field}` to be one of {valid}, but got {getattr(self, field)!r}')
        if self.resolution == 'input' and self.mask_rule == 'prediction':
            raise ValueError("`resolution='input'` compares masks made from the logits at the input size and needs "
                             "`mask_rule='argmax'` or `'threshold'`; pred_sem_seg has the original size")
        # tuple and float: configs hand over lists, and 'nan' as a string
        object.__setattr__(self, 'thresholds', tuple(float(x) for x in self.thresholds))
        object.__setattr__(self, 'empty_iou', float(self.empty_iou))
        if not 0 < self.mask_threshold < 1:
            raise ValueError(f'Expected `mask_threshold` to be a probability in (0, 1), but got {self.mask_threshold}')
        if not all(0 <= x <= 1 for x in self.thresholds):
            raise ValueError(f'Expected `thresholds` to be IoUs in [0, 1], but got {self.thresholds}')
        if len(set(self.precision_names)) < len(self.thresholds):
            raise ValueError(f'Expected `thresholds` to differ from each other, but got {self.thresholds}')
        if not (math.isnan(self.empty_iou) or 0 <= self.empty_iou <= 1):
            raise ValueError(f'Expected `empty_iou` to be an IoU in [0, 1] or NaN, but got {self.empty_iou}')
        if not 0 <= self.eps < 1:
            raise ValueError(f'Expected `eps` to be a small number in [0, 1), but got {self.eps}')

    @property
    def precision_names(self) -> tuple[str, ...]:
        """``'Pr@0.5'`` and so on, in the order of `thresholds`."""
        return tuple(f'Pr@{x:g}' for x in self.thresholds)


# CRIS compares with torch.arange(.5, 1, .1): float32 numbers, of which .6000000238 and .8999999762 are not .6 and .9
_FLOAT32_THRESHOLDS = tuple(float(np.float32(x)) for x in (0.5, 0.6, 0.7, 0.8, 0.9))

#: The presets. `ours` is this project's own, the others reproduce the code of the paper they are named after.
#: CRIS and DETRIS take the sigmoid before they upsample, here the resized logits are given; ETRIS evaluates as CRIS.
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for protocol in (
        Protocol(name='ours'),
        Protocol(name='lavt', resolution='input', mask_rule='argmax', empty_iou=0.0, overlap='sum'),
        Protocol(name='caris', resolution='input', mask_rule='argmax', thresholds=(0.5, 0.7, 0.9),
                 empty_iou=float('nan'), expression_field='sent'),
        Protocol(name='cris', mask_rule='threshold', mask_threshold=0.35, comparison='>',
                 thresholds=_FLOAT32_THRESHOLDS, empty_iou=0.0, eps=1e-6, expression_field='sent'),
        Protocol(name='detris', mask_rule='threshold', mask_threshold=0.35, comparison='>',
                 thresholds=_FLOAT32_THRESHOLDS, empty_iou=0.0, eps=1e-6, expression_field='sent'),
    )
}


def get_protocol(name: str, overrides: dict[str, object] | None = None) -> Protocol:
    """Look up a preset and replace some of its fields.

    Args:
        name: A key of :data:`PROTOCOLS`.
        overrides: New values by field name of :class:`Protocol`; None means "as in the preset". A protocol that was
            changed says so in its name, so that no table shows it as the published one.

    Returns:
        The protocol.

    Raises:
        ValueError: There is no such preset or field, or a value is invalid.

    Examples:
        >>> get_protocol('lavt', {'comparison': '>', 'eps': None}).name
        "lavt, comparison='>'"
    """
    if name not in PROTOCOLS:
        raise ValueError(f'Expected argument `protocol` to be one of {sorted(PROTOCOLS)}, but got {name!r}')
    preset = PROTOCOLS[name]
    overrides = {key: value for key, value in (overrides or {}).items() if value is not None}
    unknown = sorted(set(overrides) - {field.name for field in fields(Protocol)})
    if unknown:
        raise ValueError(f'Protocol has no field {unknown}: choose from {[f.name for f in fields(Protocol)]}')
    changed = replace(preset, **overrides)
    differing = [f'{key}={getattr(changed, key)!r}' for key in overrides
                 if repr(getattr(changed, key)) != repr(getattr(preset, key))]
    return replace(changed, name=', '.join([preset.name, *differing]))
