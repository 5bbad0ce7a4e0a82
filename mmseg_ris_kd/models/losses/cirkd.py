"""CIRKD, mini-batch: which pixels of one image look like which pixels of another."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from .distillation_loss import FeatureLoss, check_positive, kl_divergence, pool_to_grid


@MODELS.register_module()
class CIRKDMiniBatchLoss(FeatureLoss):
    r"""Distil the similarities between the pixels of all pairs of images of a batch: mini-batch term of CIRKD [0].

    With the pixels of image i as rows of unit norm, F_i (P x C):

    .. math::
        S_{ij} = F_i F_j^\top \in \mathbb{R}^{P \times P}, \qquad
        \frac{1}{N^2 P} \sum_{i,j,p} \mathrm{KL}(
            \mathrm{softmax}(S^T_{ij,p} / \tau) \,\|\, \mathrm{softmax}(S^S_{ij,p} / \tau))

    This is the pixel-wise relation that CMKD's channel relation is meant to replace: O(N^2 P^2) time and memory, which
    is why features are pooled. The usual weight is 1.

    - [0]: Cross-Image Relational Knowledge Distillation for Semantic Segmentation, CVPR 2022,
      https://arxiv.org/abs/2204.06986

    Args:
        tau: Temperature.
        grid: Features are average-pooled to at most (grid, grid) positions; None: not at all.
        feature: Which field of the record: ``'visual'``, ``'fused'`` or ``'decoded'``.
        stages: Positions in the record's tuple, 0 being the shallowest.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``tau`` or ``grid`` is not positive.
    """

    term = 'cirkd'

    def __init__(self, *, tau: float = 0.1, grid: int | None = 15, feature: str = 'fused',
                 stages: Sequence[int] = (0, 1, 2, 3), loss_weight: float = 1., schedule: dict | None = None):
        super().__init__(feature=feature, stages=stages, loss_weight=loss_weight, schedule=schedule)
        check_positive(self, tau=tau, grid=1 if grid is None else grid)
        self.tau = tau
        self.grid = grid

    def prepare(self, feature: Tensor) -> Tensor:
        return pool_to_grid(feature, self.grid)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = (F.normalize(feature.flatten(2), dim=1) for feature in (student, teacher))  # N x C x P
        # one image's rows at a time: N x P x P instead of N x N x P x P
        return torch.stack([
            kl_divergence(self._relation(ours, student), self._relation(theirs, teacher)).mean()
            for ours, theirs in zip(student, teacher)
        ]).mean()

    def _relation(self, image: Tensor, images: Tensor) -> Tensor:
        return (image.T @ images / self.tau).log_softmax(dim=-1)  # P x C, N x C x P -> N x P x P
