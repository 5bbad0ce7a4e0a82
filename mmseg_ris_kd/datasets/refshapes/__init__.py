"""RefShapes: a referring dataset that is generated instead of downloaded."""
from .dataset import RefShapesDataset
from .generator import generate_refshapes

__all__ = ['RefShapesDataset', 'generate_refshapes']
