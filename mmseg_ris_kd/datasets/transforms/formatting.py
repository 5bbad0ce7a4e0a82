"""Pack a record into what mmseg's data preprocessor, models and metrics read."""
from __future__ import annotations

from collections.abc import Sequence

from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

META_KEYS = ('img_path', 'img_id', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction',
             'reduce_zero_label', 'expression', 'sent_id', 'ref_id', 'ann_id', 'category_id', 'no_target', 'dataset',
             'split', 'sample_idx')


@TRANSFORMS.register_module()
class PackReferringInputs(PackSegInputs):
    """Pack image, target mask and expression as mmseg's ``inputs`` and ``data_samples``.

    ``inputs`` is the image, a tensor with shape (3, H, W), BGR, uint8. ``data_samples`` is a ``SegDataSample`` with
    ``gt_sem_seg`` (when the mask was loaded), a tensor with shape (1, H, W) and values {0, 1}, int64, and the
    expression and ids as metainfo. A meta key that the record does not have is left out, as in mmseg.

    Args:
        meta_keys: Keys of the record that become metainfo.

    Raises:
        KeyError: No expression has been chosen yet.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        if 'expression' not in results:
            raise KeyError('PackReferringInputs found no expression: put SampleExpression before it in the pipeline')
        return super().transform(results)
