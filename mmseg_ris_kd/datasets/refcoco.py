"""The RefCOCO family: where each dataset lies below ``data_root``. Counts per split: ``published_counts``."""
from __future__ import annotations

from mmseg.registry import DATASETS

from .ris_dataset import RISDataset

COCO_IMAGES = 'images/mscoco/images/train2014'


@DATASETS.register_module()
class RefCOCODataset(RISDataset):
    """`RefCOCO <https://arxiv.org/abs/1608.00272>`_: 1-3 short expressions per ref, location words allowed.

    Splits: ``train, val, testA`` (persons), ``testB`` (other objects) with ``split_by='unc'``; ``train, val,
    test`` with ``'google'``. Arguments: see :class:`RISDataset`.
    """

    ANN_FILE = 'refcoco/instances.json'
    SPLIT_FILE = 'refcoco/refs({split_by}).p'
    IMG_PATH = COCO_IMAGES
    SPLIT_BYS = ('unc', 'google')


@DATASETS.register_module()
class RefCOCOPlusDataset(RISDataset):
    """`RefCOCO+ <https://arxiv.org/abs/1608.00272>`_: as RefCOCO, location words were forbidden.

    Splits: ``train, val, testA, testB``. Arguments: see :class:`RISDataset`.
    """

    ANN_FILE = 'refcoco+/instances.json'
    SPLIT_FILE = 'refcoco+/refs({split_by}).p'
    IMG_PATH = COCO_IMAGES
    SPLIT_BYS = ('unc', )


@DATASETS.register_module()
class RefCOCOgDataset(RISDataset):
    """`RefCOCOg <https://arxiv.org/abs/1511.02283>`_: longer expressions, full sentences.

    Splits: ``train, val, test`` with ``split_by='umd'``; ``train, val`` with ``'google'``, whose val shares images with
    train. Arguments: see :class:`RISDataset`.
    """

    ANN_FILE = 'refcocog/instances.json'
    SPLIT_FILE = 'refcocog/refs({split_by}).p'
    IMG_PATH = COCO_IMAGES
    SPLIT_BYS = ('umd', 'google')


@DATASETS.register_module()
class GRefCOCODataset(RISDataset):
    """`gRefCOCO <https://arxiv.org/abs/2306.00968>`_: an expression refers to one, several or no objects.

    Splits: ``train, val, testA, testB``. Arguments: see :class:`RISDataset`; ``split_file`` is a JSON file if its name
    ends in ``.json``, as the released one does.
    """

    ANN_FILE = 'grefcoco/instances.json'
    SPLIT_FILE = 'grefcoco/grefs({split_by}).json'
    IMG_PATH = COCO_IMAGES
    SPLIT_BYS = ('unc', )


@DATASETS.register_module()
class RefClefDataset(RISDataset):
    """`RefClef <https://aclanthology.org/D14-1086>`_ (ReferItGame) on the SAIAPR TC-12 images, masks in several RLEs.

    Splits: ``train, val, testA, testB, testC`` with ``split_by='unc'``; ``train, val, test`` with ``'berkeley'``.
    Arguments: see :class:`RISDataset`.
    """

    ANN_FILE = 'refclef/instances.json'
    SPLIT_FILE = 'refclef/refs({split_by}).p'
    IMG_PATH = 'images/saiapr_tc-12'
    SPLIT_BYS = ('unc', 'berkeley')
