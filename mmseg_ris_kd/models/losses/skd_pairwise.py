"""SKD, pair-wise: which regions look alike."""
from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from .distillation_loss import FeatureLoss


@MODELS.register_module()
class SKDPairwiseLoss(FeatureLoss):
    r"""Distil the similarities between the regions of an image: the pair-wise term of structured distillation [0].

    Features are max-pooled to P' regions; f_i is a region's feature over its norm (a constant to the gradient):

    .. math::
        a_{ij} = f_i^\top f_j, \qquad \frac{1}{N P'^2} \sum_{n,i,j} (a^S_{ij} - a^T_{ij})^2

    Usual weights are 0.5 to 10.

    - [0]: Structured Knowledge Distillation for Semantic Segmentation, CVPR 2019, https://arxiv.org/abs/1903.04197

    Args:
        scale: Side of a pooling window as a share of the feature's side; 0.5 gives 2 x 2 regions, as in [0]. A window
            is rounded down to whole positions and the last regions may be cut: an odd side gives 3 at 0.5.
        feature: Which field of the record: ``'visual'``, ``'fused'`` or ``'decoded'``.
        stages: Positions in the record's tuple, 0 being the shallowest.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``scale`` lies outside (0, 1].
    """

    term = 'skd_pairwise'

    def __init__(self, *, scale: float = 0.5, feature: str = 'fused', stages: Sequence[int] = (0, 1, 2, 3),
                 loss_weight: float = 1., schedule: dict | None = None):
        super().__init__(feature=feature, stages=stages, loss_weight=loss_weight, schedule=schedule)
        if not 0 < scale <= 1:
            raise ValueError(f'SKDPairwiseLoss: scale is a share in (0, 1], but got {scale}')
        self.scale = scale

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (self._similarity(student) - self._similarity(teacher)).square().mean()

    def _similarity(self, feature: Tensor) -> Tensor:
        window = [max(1, int(side * self.scale)) for side in feature.shape[2:]]
        regions = F.max_pool2d(feature, window, stride=window, ceil_mode=True).flatten(2)  # N x C x P'
        regions = regions / (regions.norm(dim=1, keepdim=True).detach() + 1e-8)
        return regions.transpose(1, 2) @ regions  # N x P' x P'
