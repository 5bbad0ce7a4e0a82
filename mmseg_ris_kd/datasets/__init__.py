"""Datasets of referring records, their sampler and their transforms."""
from . import transforms
from .refcoco import GRefCOCODataset, RefClefDataset, RefCOCODataset, RefCOCOgDataset, RefCOCOPlusDataset
from .refshapes import RefShapesDataset
from .ris_dataset import RISDataset
from .samplers import EpochAwareSampler

__all__ = [
    'EpochAwareSampler', 'GRefCOCODataset', 'RISDataset', 'RefCOCODataset', 'RefCOCOPlusDataset', 'RefCOCOgDataset',
    'RefClefDataset', 'RefShapesDataset', 'transforms'
]
