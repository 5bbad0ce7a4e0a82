"""Models that train a student with the help of a teacher."""
from .preprocessor import DistillationPreprocessor
from .referring_distiller import ReferringDistiller

__all__ = ['DistillationPreprocessor', 'ReferringDistiller']
