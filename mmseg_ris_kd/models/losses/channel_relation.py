"""Channel-attention relation: which channels respond alike, and so which semantic components go together."""
from __future__ import annotations

from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import Tensor

from .distillation_loss import FeatureLoss, check_positive, kl_divergence, pool_to_grid, unit_norm


@MODELS.register_module()
class ChannelRelationLoss(FeatureLoss):
    r"""Let the student's channels relate to each other as the teacher's do: the second term of CMKD.

    The paper [0] transfers "the correlations between the semantic components represented by each channel"; the closest
    published forms are DANet's channel attention [1] and ICKD [2], the form here is ours. With a feature of C channels
    over P positions, X having its rows of unit norm (all but dead channels, see ``unit_norm``):

    .. math::
        G = X X^\top \in \mathbb{R}^{C \times C}, \qquad
        \sum_c w_c \, \mathrm{KL}\left(
            \mathrm{softmax}(G^T_c / \tau) \,\|\, \mathrm{softmax}(G^S_c / \tau)\right)

    averaged over images and stages. The rows weigh the same, w_c = 1 / C, or are guided by the teacher's channel
    attention, w = softmax of its channels' mean response. Costs O(C^2 P) time and O(C^2) memory, where a relation
    between pixels needs O(P^2).

    - [0]: Channel Attention-Guided Cross-Modal Knowledge Distillation for Referring Image Segmentation,
      https://arxiv.org/abs/2604.16806
    - [1]: Dual Attention Network for Scene Segmentation, CVPR 2019, https://arxiv.org/abs/1809.02983
    - [2]: Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation, ICCV 2021,
      https://arxiv.org/abs/2202.03680

    Args:
        feature: Which field of the record: ``'fused'``, ``'decoded'`` or ``'visual'``.
        stages: Positions in the record's tuple, 0 being the shallowest.
        tau: Temperature of the channel attention.
        grid: Features are average-pooled to at most (grid, grid) positions; None: not at all.
        guided: Whether the rows are weighted by the teacher's channel attention.
        centered: Whether each channel's mean over space is taken off first, so that G holds correlations. Cosines of
            features behind an activation are mostly close to 1, as their values are mostly positive.
        loss_weight: Weight of the loss.
        schedule: Config of a ``WeightSchedule``.

    Raises:
        ValueError: ``tau`` or ``grid`` is not positive.
    """

    term = 'channel'
    adapts = True

    def __init__(self,
                 *,
                 feature: str = 'fused',
                 stages: Sequence[int] = (0, 1, 2, 3),
                 tau: float = 0.1,
                 grid: int | None = 15,
                 guided: bool = True,
                 centered: bool = False,
                 loss_weight: float = 1.,
                 schedule: dict | None = None):
        super().__init__(feature=feature, stages=stages, loss_weight=loss_weight, schedule=schedule)
        check_positive(self, tau=tau, grid=1 if grid is None else grid)
        self.tau = tau
        self.grid = grid
        self.guided = guided
        self.centered = centered

    def prepare(self, feature: Tensor) -> Tensor:
        """Pool first: an average commutes with the adapter's 1x1 convolution, which then sees fewer positions."""
        return pool_to_grid(feature, self.grid)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        rows = kl_divergence(*(
            channel_correlation(feature, centered=self.centered).div(self.tau).log_softmax(dim=-1)
            for feature in (student, teacher)))
        if not self.guided:
            return rows.mean()  # B x C
        importance = teacher.mean(dim=(2, 3)).softmax(dim=1)  # B x C
        return (importance * rows).sum(dim=1).mean()


def channel_correlation(feature: Tensor, *, centered: bool = False) -> Tensor:
    """Return G, the cosines (or correlations, if ``centered``) between the channels of (B, C, H, W): (B, C, C)."""
    channels = feature.flatten(2)  # B x C x P
    if centered:
        channels = channels - channels.mean(dim=2, keepdim=True)
    channels = unit_norm(channels, dim=2)
    return channels @ channels.transpose(1, 2)
