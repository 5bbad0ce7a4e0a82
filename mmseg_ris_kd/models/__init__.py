"""Text encoders, backbones, fusion modules, decode heads and segmentors."""
from . import backbones, decode_heads, fusion, segmentors, text_encoders

__all__ = ['backbones', 'decode_heads', 'fusion', 'segmentors', 'text_encoders']
