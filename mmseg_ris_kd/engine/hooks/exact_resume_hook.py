"""The hook that makes an interrupted and resumed training equal the uninterrupted one."""
from __future__ import annotations

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make every training iteration a function of the seed, the iteration and the rank, not of how one got there.

    mmengine restores weights, optimizer, schedules and the order of the data, but not the random state (dropout, drop
    path), and it never repeats a validation that was cut off. This hook seeds torch anew in every iteration and runs
    the validation of the last finished epoch again when training resumes, so that the best checkpoint is found as well.
    The data side is the ``EpochAwareSampler``.
    """

    priority = 'LOWEST'  # the replayed validation needs every other hook to be ready

    def before_train(self, runner) -> None:
        """Repeat the validation that follows the checkpoint from which training resumes."""
        loop = runner.train_loop
        if runner.iter == 0 or runner.val_loop is None:
            return
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done, last = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
        loop._decide_current_val_interval()
        if done >= loop.val_begin and (done % loop.val_interval == 0 or done == last):
            runner.logger.info('Repeating the validation of the checkpoint: the interruption may have cut it off.')
            runner.val_loop.run()

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed torch from (seed, iteration, rank)."""
        state = np.random.SeedSequence([runner.seed, runner.iter, get_rank()]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0] >> np.uint64(1)))
