"""Polynomial decay as the papers' training scripts compute it."""
from __future__ import annotations

from mmengine.optim import OptimWrapper, PolyLR
from mmseg.registry import PARAM_SCHEDULERS
from torch.optim import Optimizer


@PARAM_SCHEDULERS.register_module()
class PolynomialLR(PolyLR):
    """lr(t) = (lr(0) - eta_min) * (1 - t / T)^power + eta_min in the T = end - begin updates t = 0, ..., T - 1.

    mmengine's ``PolyLR`` decays over T - 1, so that its last update is made with ``eta_min``. This is the definition of
    ``torch.optim.lr_scheduler.PolynomialLR`` and of LAVT's training script.

    Args:
        optimizer: What has the learning rates.
        power: Exponent.
        eta_min: Learning rate after the last update.
        begin: First update (or epoch), counted from 0.
        end: One after the last update (or epoch).
        by_epoch: Whether to count epochs. ``convert_to_iter_based=True`` in a config turns them into updates.
        last_step: The step to continue from; -1 to start.
        verbose: Whether to print every value.
    """

    def __init__(self,
                 optimizer: Optimizer | OptimWrapper,
                 power: float = 1.,
                 eta_min: float = 0.,
                 *,
                 begin: int = 0,
                 end: int,
                 by_epoch: bool = True,
                 last_step: int = -1,
                 verbose: bool = False):
        super().__init__(optimizer, power=power, eta_min=eta_min, begin=begin, end=end, by_epoch=by_epoch,
                         last_step=last_step, verbose=verbose)
        self.total_iters = end - begin  # the first value, which is set already, does not depend on it
