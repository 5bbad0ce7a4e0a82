"""The records of a split, read from the index of its REFER files when they are asked for."""
from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

import numpy as np

from .refer import ReferIndex


class RecordView(Sequence):
    """Records of an index, made when they are asked for; slicing gives a view.

    Args:
        index: The opened files.
        rows: Rows of refs, or of expressions when ``per_expression``: integer array with shape (N,).
        per_expression: Whether a record has one expression or all expressions of the ref.
        field: Field of the expression, ``'raw'`` or ``'sent'``.
        img_path: Folder of the images.
        dataset: Name of the dataset.
    """

    def __init__(self, index: ReferIndex, rows: np.ndarray, *, per_expression: bool, field: str, img_path: str,
                 dataset: str) -> None:
        self.index = index
        self.rows = np.asarray(rows, dtype=np.int64)
        self.per_expression = per_expression
        self.field = field
        self.img_path = img_path
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, idx: int | slice) -> dict | RecordView:
        if isinstance(idx, slice):
            return self.select(np.arange(len(self))[idx])
        row = int(self.rows[idx])
        ref_row, sentences = row, self.index.sentence_rows(row) if not self.per_expression else (row, )
        if self.per_expression:
            ref_row = self.index.ref_of_sentence(row)
        record = self.index.ref(ref_row)
        record['img_id'] = record.pop('image_id')
        record['img_path'] = osp.join(self.img_path, record.pop('file_name'))
        record['targets'] = self.index.targets(ref_row)
        record['sentences'] = [dict(sent_id=s['sent_id'], text=s[self.field])
                               for s in map(self.index.sentence, sentences)]
        record.update(dataset=self.dataset, seg_fields=[], reduce_zero_label=False)
        return record

    def select(self, indices: Sequence[int]) -> RecordView:
        """Return a view on the records with these indices."""
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        return RecordView(self.index, rows, per_expression=self.per_expression, field=self.field,
                          img_path=self.img_path, dataset=self.dataset)

    def __deepcopy__(self, memo: dict) -> RecordView:
        return self.select(range(len(self)))  # the index is read-only and stays shared


def group_by_image(index: ReferIndex, refs: np.ndarray) -> np.ndarray:
    """Reorder refs so that those of one image follow each other, images in the order in which they first appear."""
    images = np.asarray([index.ref(row)['image_id'] for row in refs.tolist()])
    _, first, image = np.unique(images, return_index=True, return_inverse=True)
    return refs[np.argsort(first[image], kind='stable')]
