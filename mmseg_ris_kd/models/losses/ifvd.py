"""IFVD: how far each pixel is from the mean of its class."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ...structures import RISFeatures
from .distillation_loss import FeatureLoss


@MODELS.register_module()
class IFVDLoss(FeatureLoss):
    r"""Distil the variation of the features within a class: intra-class feature variation distillation [0].

    With the mean feature mu_k of the pixels of class k (background or target, of one image) and the class y_i of
    pixel i:

    .. math::
        m_i = \cos(f_i, \mu_{y_i}), \qquad \frac{1}{N P} \sum_{n,i} (m^S_i - m^T_i)^2

    The classes are those of the target mask, nearest neighbour at the feature's size. An image may show one class only.
    Usual weights are 20 to 200.

    - [0]: Intra-class Feature Variation Distillation for Semantic Segmentation, ECCV 2020,
      https://www.ecva.net/papers/eccv_2020/papers_ECCV/html/230_ECCV_2020_paper.php

    Args:
        feature: Which field of the record: ``'visual'``, ``'fused'`` or ``'decoded'``.
        stages: Positions in the record's tuple, 0 being the shallowest (stride 4).
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: When called: the student's record holds no target masks.
    """

    term = 'ifvd'

    def terms(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        if student.target is None:
            raise ValueError('IFVDLoss needs the target masks in the student\'s record (RISFeatures.target), which '
                             'ReferringDistiller fills in')
        losses = [self.compare(*pair, student.target) for pair in self.pairs(student, teacher)]
        return {self.term: torch.stack(losses).mean()}

    def compare(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        target = F.interpolate(target[:, None].float(), size=student.shape[2:], mode='nearest').flatten(2)  # N x 1 x P
        classes = torch.cat([target == 0, target == 1], dim=1).to(student.dtype)  # N x 2 x P; ignored pixels: neither
        difference = _similarity_to_class(student, classes) - _similarity_to_class(teacher, classes)
        return difference.square().mean()


def _similarity_to_class(feature: Tensor, classes: Tensor) -> Tensor:
    """Cosine between each pixel and the mean of its class, (N, P)."""
    feature = feature.flatten(2)  # N x C x P
    means = feature @ classes.transpose(1, 2) / classes.sum(dim=2).clamp_min(1)[:, None]  # N x C x 2
    return F.cosine_similarity(feature, means @ classes, dim=1)
