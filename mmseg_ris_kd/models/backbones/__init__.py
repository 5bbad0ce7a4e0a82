"""Backbones that read the expression; plain ones come from mmseg and mmpretrain."""
from .language_aware_swin import LanguageAwareSwin

__all__ = ['LanguageAwareSwin']
