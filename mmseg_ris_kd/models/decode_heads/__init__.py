"""Decode heads: features -> mask logits."""
from .lavt_head import LAVTHead
from .referring_head import ReferringHead
from .text_conditioned_head import TextConditionedHead

__all__ = ['LAVTHead', 'ReferringHead', 'TextConditionedHead']
