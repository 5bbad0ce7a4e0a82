"""Referring image segmentation on OpenMMLab: train big models, distil them into small fast ones."""
from . import compat

compat.apply()

from . import datasets, engine, evaluation, models, visualization  # noqa: E402  registers every component
from .structures import RISFeatures, TextFeatures  # noqa: E402

__version__ = '0.1.0'
__all__ = ['RISFeatures', 'TextFeatures', '__version__', 'datasets', 'engine', 'evaluation', 'models', 'visualization']
