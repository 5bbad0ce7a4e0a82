"""How strongly distillation losses pull at a student, next to its own mask losses."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

MASK, DISTILLATION = 'decode', 'distill'  # how ReferringDistiller starts the names of its losses


@dataclass(frozen=True)
class Pull:
    """A distillation loss and its gradient, means over batches.

    Args:
        value: The loss, weighted as in training.
        ratio: L2 norm of its gradient over that of the mask losses' gradient.
    """
    value: float
    ratio: float


def measure_pulls(batches: Iterable[Mapping[str, Tensor]], parameters: Sequence[Tensor]) -> dict[str, Pull]:
    r"""Compare the gradients of distillation losses with that of the mask losses.

    .. math::
        \mathrm{ratio} = \frac{\sum_b \|\nabla_\theta L_{\mathrm{distill}}(b)\|_2}
                              {\sum_b \|\nabla_\theta L_{\mathrm{mask}}(b)\|_2}

    Args:
        batches: The losses of each batch b, scalars by the names that ``ReferringDistiller`` gives them; a generator
            keeps one graph at a time.
        parameters: The student's parameters, theta; those of adapters do not belong here.

    Returns:
        ``'distill.<loss>'``, the sum of a loss's terms, and ``'distill.<loss>.<term>'`` where it has several.

    Raises:
        ValueError: The mask losses send no gradient to the parameters.
    """
    measured: dict[str, list[tuple[float, float]]] = {}
    for losses in batches:
        for entry, names in group_losses(losses).items():
            loss = sum(losses[name] for name in names)
            measured.setdefault(entry, []).append((loss.item(), gradient_norm(loss, parameters)))
        del losses, loss  # and with them the graph, before a generator builds the next
    means = {entry: [fmean(column) for column in zip(*pairs)] for entry, pairs in measured.items()}
    _, own = means.pop(MASK, (0., 0.))
    if own == 0:
        raise ValueError(f'the mask losses ({MASK}.*loss*) send no gradient to the student: there is nothing to '
                         'compare the distillation losses with')
    return {entry: Pull(value, norm / own) for entry, (value, norm) in means.items()}


def group_losses(names: Iterable[str]) -> dict[str, list[str]]:
    """Tell which losses are added for each entry that is measured; what is no loss, such as an accuracy, is left out.

    Example:
        >>> group_losses(['decode.loss_ce', 'decode.acc', 'distill.a.loss_x', 'distill.a.loss_y'])
        {'decode': ['decode.loss_ce'], 'distill.a': ['distill.a.loss_x', 'distill.a.loss_y'], \
'distill.a.loss_x': ['distill.a.loss_x'], 'distill.a.loss_y': ['distill.a.loss_y']}
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        kind, *rest = name.split('.')
        if kind in (MASK, DISTILLATION) and 'loss' in rest[-1]:
            groups.setdefault(MASK if kind == MASK else f'{kind}.{rest[0]}', []).append(name)
    entries: dict[str, list[str]] = {}
    for group, members in groups.items():
        entries[group] = members
        if group != MASK and len(members) > 1:
            entries.update({name: [name] for name in members})
    return entries


def gradient_norm(loss: Tensor, parameters: Sequence[Tensor]) -> float:
    """Return the L2 norm of a scalar's gradient over all parameters, 0 if it reaches none; the graph is kept."""
    if not loss.requires_grad:
        return 0.
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return math.hypot(*(gradient.norm().item() for gradient in gradients if gradient is not None))


def balanced_weight(weight: float, ratios: Sequence[float]) -> float:
    """Return the weight at which a loss pulls as strongly as the mask losses, nan if it does not pull.

    Args:
        weight: The weight with which the ratios were measured.
        ratios: The loss's ratios at some points of a training; with the new weight their geometric mean is 1.

    Example:
        >>> balanced_weight(3., [1., 9.])
        1.0
    """
    if not all(0 < ratio < math.inf for ratio in ratios):
        return math.nan
    return weight / math.prod(ratios) ** (1 / len(ratios))
