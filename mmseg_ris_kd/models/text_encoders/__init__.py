"""Text encoders: expressions as strings in, ``TextFeatures`` out. Nothing outside knows a tokenizer."""
from .base import BaseTextEncoder
from .bert import BertExpressionEncoder
from .clip import CLIPExpressionEncoder
from .recurrent import RecurrentExpressionEncoder

__all__ = ['BaseTextEncoder', 'BertExpressionEncoder', 'CLIPExpressionEncoder', 'RecurrentExpressionEncoder']
