"""How the weight of a distillation loss changes in the course of training."""
from __future__ import annotations

from mmengine.logging import MessageHub


class WeightSchedule:
    r"""A factor for a loss weight: linear from 0 to 1 while warming up, linear from 1 to ``end`` while decaying.

    Args:
        warm_up: Share of the training, in [0, 1], over which the factor rises from 0 to 1.
        decay_from: Share of the training at which the factor starts to fall; 1: never.
        end: Factor at the end of the training, reached by a linear fall from ``decay_from`` on.

    Raises:
        ValueError: The values are no shares, or the decay starts before the warm-up ends.

    Example:
        >>> schedule = WeightSchedule(warm_up=0.1, decay_from=0.5, end=0.2)
        >>> [round(schedule.at(progress), 2) for progress in (0., 0.05, 0.3, 0.75, 1.)]
        [0.0, 0.5, 1.0, 0.6, 0.2]
    """

    def __init__(self, *, warm_up: float = 0., decay_from: float = 1., end: float = 0.):
        if not 0 <= warm_up <= decay_from <= 1 or end < 0:
            raise ValueError('schedule needs 0 <= warm_up <= decay_from <= 1 (shares of the training) and end >= 0, '
                             f'but got warm_up={warm_up}, decay_from={decay_from}, end={end}')
        self.warm_up = warm_up
        self.decay_from = decay_from
        self.end = end

    def at(self, progress: float) -> float:
        """Return the factor at ``progress``, the share of the training in [0, 1] that is done."""
        if progress < self.warm_up:
            return progress / self.warm_up
        if progress <= self.decay_from or self.decay_from == 1:
            return 1.
        return 1. + (self.end - 1.) * (progress - self.decay_from) / (1. - self.decay_from)

    def factor(self) -> float:
        """Return the factor at the iteration that the runner is in, 1 outside a training."""
        hub = MessageHub.get_current_instance()
        total = hub.get_info('max_iters') if 'max_iters' in hub.runtime_info else None
        return self.at(hub.get_info('iter') / total) if total else 1.
