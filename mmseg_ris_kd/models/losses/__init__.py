"""Distillation losses, one per file: each compares the records of a student and its teacher."""
from .attention_transfer import AttentionTransferLoss
from .channel_relation import ChannelRelationLoss
from .channel_word_relation import ChannelWordRelationLoss
from .cirkd import CIRKDMiniBatchLoss
from .cmkd import CMKDLoss
from .cwd import CWDLoss
from .dist import DISTLoss
from .distillation_loss import DistillationLoss, FeatureLoss
from .fitnet import FitNetLoss
from .ickd import ICKDLoss
from .ifvd import IFVDLoss
from .logit_kd import LogitKDLoss
from .mgd import MGDLoss
from .pixel_word_correlation import PixelWordCorrelationLoss
from .skd_pairwise import SKDPairwiseLoss
from .weight_schedule import WeightSchedule

__all__ = [
    'AttentionTransferLoss', 'CIRKDMiniBatchLoss', 'CMKDLoss', 'CWDLoss', 'ChannelRelationLoss',
    'ChannelWordRelationLoss', 'DISTLoss', 'DistillationLoss', 'FeatureLoss', 'FitNetLoss', 'ICKDLoss', 'IFVDLoss',
    'LogitKDLoss', 'MGDLoss', 'PixelWordCorrelationLoss', 'SKDPairwiseLoss', 'WeightSchedule'
]
