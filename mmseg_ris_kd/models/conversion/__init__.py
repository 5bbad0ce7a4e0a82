"""From published checkpoints to the weights of this package's models."""
from .checkpoint import PublishedModel, read_published, recognise
from .entries import Conversion, Entry
from .lavt import convert_lavt, lavt_entries, lavt_state_dict
from .swin import convert_swin, swin_architecture, swin_entries

__all__ = [
    'Conversion', 'Entry', 'PublishedModel', 'convert_lavt', 'convert_swin', 'lavt_entries', 'lavt_state_dict',
    'read_published', 'recognise', 'swin_architecture', 'swin_entries'
]
