"""Text encoders, backbones, fusion modules, decode heads, segmentors, and what distils one into another."""
from . import backbones, decode_heads, distillers, fusion, losses, segmentors, text_encoders

__all__ = ['backbones', 'decode_heads', 'distillers', 'fusion', 'losses', 'segmentors', 'text_encoders']
