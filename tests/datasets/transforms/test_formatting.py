import numpy as np
import pytest
import torch
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample


def record():
    img = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    return dict(img=img, gt_seg_map=(img[:, :, 0] > 9).astype(np.uint8), seg_fields=['gt_seg_map'], img_path='a.jpg',
                img_id=1, ori_shape=(2, 5), img_shape=(2, 5), ref_id=2, ann_id=[3, 4], sent_id=5, category_id=6,
                expression='der Hund 🐕', no_target=False, sample_idx=7, flip=False, flip_direction=None,
                dataset='refcoco', split='val', reduce_zero_label=False, targets=['not packed'])


def pack(results, **settings):
    return TRANSFORMS.build(dict(type='PackReferringInputs', **settings))(results)


def test_tensors_and_metainfo():
    results = record()
    packed = pack(results)
    sample = packed['data_samples']
    assert isinstance(sample, SegDataSample)
    assert torch.equal(packed['inputs'], torch.from_numpy(results['img']).permute(2, 0, 1))
    assert packed['inputs'].dtype == torch.uint8
    target = sample.gt_sem_seg.data
    assert target.shape == (1, 2, 5) and target.dtype == torch.int64
    assert torch.equal(target[0], torch.from_numpy(results['gt_seg_map']).long())
    for key in ('img_path', 'img_id', 'ori_shape', 'img_shape', 'ref_id', 'ann_id', 'sent_id', 'category_id',
                'expression', 'no_target', 'sample_idx', 'flip', 'dataset', 'split'):
        assert sample.metainfo[key] == record()[key], key
    assert 'targets' not in sample.metainfo


def test_without_a_target():
    results = record()
    del results['gt_seg_map']
    assert 'gt_sem_seg' not in pack(results)['data_samples']


def test_meta_keys_can_be_chosen():
    assert set(pack(record(), meta_keys=('expression', 'ref_id'))['data_samples'].metainfo) == {'expression', 'ref_id'}


def test_needs_an_expression():
    results = record()
    del results['expression']
    with pytest.raises(KeyError, match='put SampleExpression before it'):
        pack(results)
