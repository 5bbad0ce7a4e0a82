"""RefShapes, the generated dataset: every part of the package can be trained and tested on it without a download."""
from __future__ import annotations

from mmseg.registry import DATASETS

from ..ris_dataset import RISDataset


@DATASETS.register_module()
class RefShapesDataset(RISDataset):
    """Drawn shapes with expressions that are unique by construction, written by ``generate_refshapes``.

    Splits: ``train, val`` (attributes, positions and relations), ``testA`` (attributes), ``testB`` (relations); the
    last two also hold (shape, colour) pairs that training never shows. Arguments: see :class:`RISDataset`.
    """

    ANN_FILE = 'refshapes/instances.json'
    SPLIT_FILE = 'refshapes/refs({split_by}).p'
    IMG_PATH = 'images/refshapes'
    SPLIT_BYS = ('generated', )
