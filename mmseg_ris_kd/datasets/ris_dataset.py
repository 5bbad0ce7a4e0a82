"""The dataset of referring records: REFER files through a shared index, one record at a time."""
from __future__ import annotations

import os.path as osp
import random
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, Callable

import numpy as np
import torch
from mmengine.dataset import BaseDataset, force_full_init
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS, TRANSFORMS

from .records import RecordView, group_by_image
from .refer import ReferIndex, load_refer_index

NOT_SET = -1  # epoch of a dataset whose set_epoch was never called


@DATASETS.register_module()
class RISDataset(BaseDataset):
    """Referring image segmentation on files of the `REFER API <https://github.com/lichengunc/refer>`_.

    A record is a dict with ``img_path, img_id, height, width, ref_id, ann_id, category_id, split, dataset``, the raw
    COCO segmentations of its target (``targets``, empty when the expression refers to nothing), its expressions
    (``sentences``: list of ``dict(sent_id, text)``) and ``sample_idx``. Records are read from a memory-mapped index
    when they are asked for, so a start is quick and worker processes share the memory.

    Training has one record per ref in the order of the split file, and the pipeline's :class:`SampleExpression` chooses
    the expression. With ``test_mode`` there is one record per expression, always: an evaluation never depends on a
    draw. Then the records of one image follow each other, so that a model can encode the image once.

    Sampling is reproducible once :meth:`set_epoch` was called (:class:`EpochAwareSampler` does that): the pipeline of a
    record then runs under random generators seeded by (seed, epoch, index). Neither the number of worker processes nor
    an interruption changes what a record becomes.

    Args:
        data_root: Folder that relative paths below start from.
        ann_file: COCO annotation file (``instances.json``).
        split_file: File of the refs (``refs(unc).p``).
        data_prefix: ``dict(img_path=<folder of the images>)``, or the folder alone.
        split: Name of the split, such as ``'train'`` or ``'testA'``.
        pipeline: Transforms, as configs or callables.
        split_by: Who made the split, part of the default ``split_file`` of the subclasses (:attr:`SPLIT_BYS`).
        test_mode: One record per expression, whatever ``expression_mode`` says.
        expression_mode: In training, ``'random'``: one record per ref with all its expressions; ``'all'``: one
            record per expression.
        expression_field: ``'raw'``: the expression as it was typed, which LAVT and our own protocol read;
            ``'sent'``: the cleaned one (lower case, no punctuation) of CARIS, CRIS, ETRIS and DETRIS.
        on_invalid: What to do with refs that cannot be used (a broken polygon, an annotation of an absent image, ...).
            ``'raise'``: stop and list them. ``'skip'``: leave them out, and those whose image file is missing too,
            with a warning that counts them.
        indices: Keep the first n (negative: last n) records, or the records with these indices.
        lazy_init: Do not touch any file before the first record is asked for.
        metainfo: Entries that override :attr:`METAINFO`.
        cache_dir: Folder that keeps the parsed files; default as in :func:`load_refer_index`.

    Raises:
        ValueError: An argument is invalid, the split does not exist or is empty, or refs of the split cannot be used.
        FileNotFoundError: A file or folder named by the config does not exist.
    """

    METAINFO = dict(classes=('background', 'target'), palette=[[0, 0, 0], [220, 20, 60]])
    # defaults of the subclasses, below data_root
    ANN_FILE: str | None = None
    SPLIT_FILE: str | None = None  # may hold {split_by}
    IMG_PATH: str | None = None
    SPLIT_BYS: Sequence[str] = ()  # the first one is the default

    def __init__(self,
                 data_root: str = '',
                 ann_file: str | None = None,
                 *,
                 split_file: str | None = None,
                 data_prefix: dict | str | None = None,
                 split: str = 'train',
                 pipeline: Sequence[dict | Callable] = (),
                 split_by: str | None = None,
                 test_mode: bool = False,
                 expression_mode: str = 'random',
                 expression_field: str = 'raw',
                 on_invalid: str = 'raise',
                 indices: int | Sequence[int] | None = None,
                 lazy_init: bool = False,
                 metainfo: dict | None = None,
                 cache_dir: str | None = None) -> None:
        self._check_choice('expression_mode', expression_mode, ('random', 'all'))
        self._check_choice('expression_field', expression_field, ('raw', 'sent'))
        self._check_choice('on_invalid', on_invalid, ('raise', 'skip'))
        if split_by is not None:
            self._check_choice('split_by', split_by, self.SPLIT_BYS)
        elif self.SPLIT_BYS:
            split_by = self.SPLIT_BYS[0]
        if isinstance(data_prefix, str):
            data_prefix = dict(img_path=data_prefix)
        data_prefix = dict(data_prefix or {})
        if set(data_prefix) - {'img_path'}:
            raise ValueError(f'{type(self).__name__}: data_prefix has the one key img_path, the folder of the images, '
                             f'but got {data_prefix}')
        if 'img_path' not in data_prefix:
            data_prefix['img_path'] = self._require('data_prefix', self.IMG_PATH)
        if split_file is None:
            split_file = self._require('split_file', self.SPLIT_FILE).format(split_by=split_by)
        self.split_file = osp.join(data_root, split_file)
        self.split = split
        self.expression_mode = 'all' if test_mode else expression_mode
        self.expression_field = expression_field
        self.on_invalid = on_invalid
        self.cache_dir = cache_dir
        # shared, so that worker processes that already run see a new epoch
        self._epoch_and_seed = torch.tensor([NOT_SET, 0]).share_memory_()
        super().__init__(
            ann_file=ann_file if ann_file is not None else self._require('ann_file', self.ANN_FILE),
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=data_prefix,
            indices=indices,
            serialize_data=False,
            # built by mmseg's registry, which has our transforms and mmcv's, whatever the default scope is
            pipeline=[TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline],
            test_mode=test_mode,
            lazy_init=lazy_init)

    def load_data_list(self) -> RecordView:
        """Open the index of the files and choose the split's records from it."""
        self._check_files()
        index = load_refer_index(self.split_file, self.ann_file, cache_dir=self.cache_dir)
        try:
            refs = index.ref_rows(self.split)
        except ValueError as error:
            raise ValueError(f'{type(self).__name__}: {error} (config key `split`)') from error
        refs = self._without_invalid(index, np.asarray(refs))
        if len(refs) == 0:
            raise ValueError(f'{type(self).__name__}: no ref of split {self.split!r} of {self.split_file!r} is left to '
                             'use' + (', all were skipped (on_invalid=\'skip\')' if self.on_invalid == 'skip' else ''))
        rows = refs
        if self.expression_mode == 'all':
            if self.test_mode:
                refs = group_by_image(index, refs)
            rows = np.concatenate([np.asarray(index.sentence_rows(ref), dtype=np.int64) for ref in refs])
        return RecordView(index, rows, per_expression=self.expression_mode == 'all', field=self.expression_field,
                          img_path=self.data_prefix['img_path'],
                          dataset=osp.basename(osp.dirname(osp.abspath(self.split_file))))

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Return the record with index ``idx``, without the pipeline."""
        info = self.data_list[idx]
        info['sample_idx'] = idx if idx >= 0 else len(self) + idx
        return info

    def set_epoch(self, epoch: int, seed: int) -> None:
        """Make all draws of the pipeline a function of (seed, epoch, index of the record).

        Worker processes that are already running follow. Before the first call the pipeline uses the generators as
        they are.

        Args:
            epoch: Number of the epoch, at least 0.
            seed: Seed of the run, the same in every process.
        """
        self._epoch_and_seed.share_memory_()  # a deep copy of the dataset holds an unshared one
        self._epoch_and_seed[1] = seed
        self._epoch_and_seed[0] = epoch

    def prepare_data(self, idx: int) -> Any:
        """Return what the pipeline makes of the record with index ``idx``."""
        info = self.get_data_info(idx)
        described = f'record {info["sample_idx"]} (ref_id {info["ref_id"]}, image {info["img_path"]!r})'
        epoch, seed = self._epoch_and_seed.tolist()
        if epoch == NOT_SET:
            data = self.pipeline(info)
        else:
            with seeded(seed, epoch, info['sample_idx']):
                data = self.pipeline(info)
        if data is None:
            raise ValueError(f'{type(self).__name__}: the pipeline returned None for {described}. No other record is '
                             'taken in its place; use transforms that raise an error, and on_invalid=\'skip\' to leave '
                             'broken records out from the start')
        return data

    def __getitem__(self, idx: int) -> Any:
        """Return what the pipeline makes of the record with index ``idx``: never of another record, as mmengine may."""
        return self.prepare_data(idx)

    def _check_choice(self, key: str, value: Any, choices: Sequence[str]) -> None:
        if value not in choices:
            raise ValueError(f'{type(self).__name__}: {key} must be one of {tuple(choices)}, but got {value!r}')

    def _require(self, key: str, default: str | None) -> str:
        if default is None:
            raise ValueError(f'{type(self).__name__} needs the config key `{key}`')
        return default

    def _check_files(self) -> None:
        wanted = [('ann_file', self.ann_file, osp.isfile), ('split_file', self.split_file, osp.isfile),
                  ('data_prefix.img_path', self.data_prefix['img_path'], osp.isdir)]
        if self.data_root:
            wanted.insert(0, ('data_root', self.data_root, osp.isdir))
        for key, path, exists in wanted:
            if not exists(path):
                layout = ''.join(f'\n  {key}: {path}' for key, path, _ in wanted)
                raise FileNotFoundError(
                    f'{type(self).__name__}: {key} {path!r} does not exist (absolute path: {osp.abspath(path)!r}). '
                    f'These files and folders are expected; move the data there, or change the config keys:{layout}')

    def _without_invalid(self, index: ReferIndex, refs: np.ndarray) -> np.ndarray:
        """Return the usable ones of ``refs``; see ``on_invalid``."""
        wanted = set(refs.tolist())
        faults = [fault for fault in index.faults
                  if fault.ref_row in wanted and fault.field in ('', self.expression_field)]
        bad = {fault.ref_row for fault in faults}
        examples = ''.join(f'\n  {fault.message}' for fault in faults[:5]) + ('\n  ...' if len(faults) > 5 else '')
        where = (f'{len(bad)} of {len(refs)} refs of split {self.split!r} of {self.split_file!r} cannot be used:'
                 f'{examples}')
        if self.on_invalid == 'raise':
            if bad:
                raise ValueError(f'{type(self).__name__}: {where}\nRepair the files, or leave these refs out with '
                                 'on_invalid=\'skip\'')
            return refs
        logger = MMLogger.get_current_instance()
        if bad:
            logger.warning(f'{type(self).__name__}: skipped, on_invalid=\'skip\': {where}')
        absent = self._refs_without_image(index, [row for row in refs.tolist() if row not in bad])
        if absent:
            logger.warning(f'{type(self).__name__}: skipped, on_invalid=\'skip\': {len(absent)} of {len(refs)} refs of '
                           f'split {self.split!r} have no image file, the first is {next(iter(absent.values()))!r}')
        return np.asarray([row for row in refs.tolist() if row not in bad and row not in absent], dtype=np.int64)

    def _refs_without_image(self, index: ReferIndex, refs: list[int]) -> dict:
        """Map the refs whose image file does not exist to its path."""
        exists, absent = {}, {}
        for row in refs:
            path = osp.join(self.data_prefix['img_path'], index.ref(row)['file_name'])
            if path not in exists:
                exists[path] = osp.isfile(path)
            if not exists[path]:
                absent[row] = path
        return absent

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> RecordView:
        """Return a view on a part of the records; unlike mmengine's, never a silently shorter one."""
        size = len(self.data_list)
        if isinstance(indices, int):
            if abs(indices) > size or indices == 0:
                raise ValueError(f'{type(self).__name__}: indices={indices}, but split {self.split!r} has {size} '
                                 'records')
            return self.data_list[:indices] if indices > 0 else self.data_list[indices:]
        outside = [i for i in indices if not -size <= i < size]
        if outside:
            raise ValueError(f'{type(self).__name__}: indices holds {outside[0]}, but split {self.split!r} has {size} '
                             'records')
        return self.data_list.select(indices)

    def _copy_without_annotation(self, memo: dict | None = None) -> RISDataset:
        other = super()._copy_without_annotation({} if memo is None else memo)
        other._epoch_and_seed = self._epoch_and_seed.clone().share_memory_()  # a copied tensor is not shared any more
        return other


@contextmanager
def seeded(seed: int, epoch: int, idx: int):
    """Seed the generators of Python, numpy and torch for one record, and give them back their states afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence([seed % 2**63, epoch, idx]).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1:3])
    torch.default_generator.manual_seed(int(words[3]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
