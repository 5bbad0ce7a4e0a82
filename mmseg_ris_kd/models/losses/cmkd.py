"""CMKD: cross-modal correlation and channel-attention relation, together."""
from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import RISFeatures
from .distillation_loss import Channels, DistillationLoss


@MODELS.register_module()
class CMKDLoss(DistillationLoss):
    r"""Distil relations, not features: the loss of CMKD [0].

    .. math::
        L = w_{vl} L_{vl} + w_{ch} L_{ch} \;(+\; w_{cw} L_{cw})

    :math:`L_{vl}` is ``PixelWordCorrelationLoss``, the "high-order fine-grained correlations between vision and
    language"; :math:`L_{ch}` is ``ChannelRelationLoss``, "the correlations between the semantic components represented
    by each channel"; :math:`L_{cw}` is ``ChannelWordRelationLoss``, a reading of ours that joins the two and is off by
    default. The quotes are from the paper's abstract, the forms are our choice. Nothing is added at inference.

    - [0]: Channel Attention-Guided Cross-Modal Knowledge Distillation for Referring Image Segmentation,
      https://arxiv.org/abs/2604.16806

    Args:
        pixel_word: Arguments of ``PixelWordCorrelationLoss``; None leaves the term out.
        channel: Arguments of ``ChannelRelationLoss``; None leaves the term out.
        channel_word: Arguments of ``ChannelWordRelationLoss``; None leaves the term out.
        loss_weight: Weight of the whole loss; each term has its own as well.
        schedule: Config of a ``WeightSchedule`` of the whole loss.

    Raises:
        ValueError: Every term is left out.
    """

    def __init__(self,
                 *,
                 pixel_word: dict | None,
                 channel: dict | None,
                 channel_word: dict | None = None,
                 loss_weight: float = 1.,
                 schedule: dict | None = None):
        super().__init__(loss_weight=loss_weight, schedule=schedule)
        configs = dict(PixelWordCorrelationLoss=pixel_word, ChannelRelationLoss=channel,
                       ChannelWordRelationLoss=channel_word)
        self.losses = nn.ModuleList(
            MODELS.build(dict(config, type=name)) for name, config in configs.items() if config is not None)
        if not self.losses:
            raise ValueError('CMKDLoss: pixel_word, channel and channel_word are all None, there is nothing to distil')

    def connect(self, student: Channels, teacher: Channels) -> None:
        for loss in self.losses:
            loss.connect(student, teacher)

    def terms(self, student: RISFeatures, teacher: RISFeatures) -> dict[str, Tensor]:
        return {name.removeprefix('loss_'): value
                for loss in self.losses for name, value in loss(student, teacher).items()}
