"""Modules that fuse visual features with the words of an expression."""
from .pixel_word_attention import PixelWordAttention, instance_norm

__all__ = ['PixelWordAttention', 'instance_norm']
