"""Channel relations of models with different channels: mapped to the teacher's, ordered, and as spectra."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from torch import Tensor, nn

from ..models.losses.channel_relation import ChannelRelationLoss, channel_correlation
from ..models.losses.distillation_loss import same_grid, select_stage
from ..structures import RISFeatures

RIDGE = 1e-3  # of the mean squared response: keeps the fit unique with more channels than positions
OPTIMAL_ORDER_CHANNELS = 256  # the best order of the leaves of a tree takes cubic time


@dataclass(frozen=True)
class MappedRelation:
    """The channel relation of a model whose channels were mapped to the teacher's.

    Args:
        name: The model.
        how: How its channels were mapped; empty for the teacher.
        relation: Cosines with shape (C_T, C_T), mean over the samples.
        distance: ``ChannelRelationLoss`` to the teacher, mean over the samples.
    """
    name: str
    how: str
    relation: Tensor
    distance: float


@torch.no_grad()
def compare_relations(features: Mapping[str, Tensor], measure: ChannelRelationLoss, stage: int, *,
                      images: Sequence[str], teacher: str, adapted: str | None) -> list[MappedRelation]:
    """Map every student's channels to the teacher's and measure how far their relation is from the teacher's.

    Every student is mapped by least squares (``map_by_other_images``), which treats them alike: a student alone has no
    adapter. The one that was trained with adapters is shown through these as well.

    Args:
        features: By model, the pooled features with shape (N, C, h, w), see ``stage_feature``.
        measure: The distance, and the adapters.
        stage: The stage that the features are of.
        images: The image that each of the N samples shows.
        teacher: Which model is the teacher.
        adapted: Which model was trained with the adapters of ``measure``; None: none was.

    Returns:
        The teacher, then the others in their order.
    """
    theirs = features[teacher]
    relations = [MappedRelation(teacher, '', mean_relation(theirs, centered=measure.centered), 0.)]
    for name, feature in features.items():
        if name == teacher:
            continue
        ours = same_grid(feature, theirs)[0]
        mapped = {'least-squares map': map_by_other_images(ours, theirs, images)}
        if name == adapted:
            how = 'trained adapter' if str(stage) in measure.adapters else 'as it is'  # with equal channels: no adapter
            mapped[how] = measure.adapters(ours, theirs, stage)
        for how, feature in mapped.items():
            relation = mean_relation(feature, centered=measure.centered)
            relations.append(MappedRelation(name, how, relation, float(measure.compare(feature, theirs))))
    return relations


def stage_feature(record: RISFeatures, measure: ChannelRelationLoss, stage: int, *, owner: str) -> Tensor:
    """Return the feature that a channel relation compares, pooled as it does: (B, C, h, w).

    Args:
        record: What a model computed.
        measure: The channel relation.
        stage: Position in the record's tuple.
        owner: The model's name, for the error.

    Raises:
        ValueError: The model hands out no such feature.
    """
    return measure.prepare(select_stage(record, measure.feature, stage, owner=owner, loss=measure))


def find_channel_relation(losses: nn.Module, stage: int) -> ChannelRelationLoss | None:
    """Return the first channel relation, inside other losses too, that compares a stage; None if there is none."""
    return next((loss for loss in losses.modules()
                 if isinstance(loss, ChannelRelationLoss) and stage in loss.stages), None)


def map_by_other_images(student: Tensor, teacher: Tensor, images: Sequence[str]) -> Tensor:
    r"""Map a student's channels to its teacher's with 1x1 convolutions fitted by least squares.

    The map W of a sample is fitted to the samples of *other* images, so that none is seen with a map that knows it:

    .. math::
        W_n = \arg\min_W \sum_{m \in O_n} \|W [X^S_m; 1] - X^T_m\|_F^2 + \lambda \|W\|_F^2, \qquad
        O_n = \{m : \mathrm{image}(m) \ne \mathrm{image}(n)\}

    Args:
        student: Features with shape (N, C_S, H, W).
        teacher: The teacher's with shape (N, C_T, H, W).
        images: The image that each of the N samples shows, by any name.

    Returns:
        The mapped features with shape (N, C_T, H, W).

    Raises:
        ValueError: All samples show one image, or samples or grids differ.
    """
    if student.shape[2:] != teacher.shape[2:] or not len(student) == len(teacher) == len(images):
        raise ValueError('expected features of the same samples on the same grid, but got '
                         f'{tuple(student.shape)}, {tuple(teacher.shape)} and {len(images)} images')
    if len(set(images)) < 2:
        raise ValueError(f'all {len(images)} samples show one image, {images[0] if images else "none"}: the map of an '
                         'image is fitted to others, so choose more samples (--number)')
    source, target = (feature.flatten(2).double() for feature in (student, teacher))
    source = torch.cat([source, torch.ones_like(source[:, :1])], dim=1)  # N x (C_S + 1) x P: with a bias
    gram, cross = source @ source.transpose(1, 2), source @ target.transpose(1, 2)
    others = torch.tensor([[float(a != b) for b in images] for a in images], dtype=gram.dtype, device=gram.device)
    gram, cross = (torch.einsum('nm,mij->nij', others, moments) for moments in (gram, cross))
    ridge = RIDGE * gram.diagonal(dim1=1, dim2=2).mean(dim=1)
    gram = gram + ridge[:, None, None] * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    weights = torch.linalg.solve(gram, cross)  # N x (C_S + 1) x C_T
    return (weights.transpose(1, 2) @ source).to(student.dtype).unflatten(2, student.shape[2:])


def mean_relation(feature: Tensor, *, centered: bool = False) -> Tensor:
    """Return the cosines or correlations between the channels of (N, C, H, W), averaged over the samples: (C, C)."""
    return channel_correlation(feature, centered=centered).mean(dim=0)


def channel_order(relation: Tensor) -> np.ndarray:
    """Order channels so that those that respond alike stand together: the leaves of an average-linkage tree.

    Args:
        relation: Cosines with shape (C, C).

    Returns:
        A permutation with shape (C,).
    """
    if len(relation) < 3:
        return np.arange(len(relation))
    distance = (1 - relation.double().cpu().numpy()).clip(0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), method='average',
                   optimal_ordering=len(relation) <= OPTIMAL_ORDER_CHANNELS)
    return leaves_list(tree)


def relation_spectrum(relation: Tensor) -> np.ndarray:
    """Return the eigenvalues of cosines (C, C) as shares of their sum, the largest first: (C,).

    Few large ones: channels repeat each other. It needs no map between the channels of two models.
    """
    values = torch.linalg.eigvalsh(relation.double().cpu()).flip(0).clamp_min(0)
    return (values / values.sum().clamp_min(1e-12)).numpy()
