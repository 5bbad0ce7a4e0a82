from __future__ import annotations

import pytest

from mmseg_ris_kd.datasets.refer import decode_target
from mmseg_ris_kd.datasets.refshapes import RefShapesDataset, generate_refshapes


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('refshapes')
    meta = generate_refshapes(root, counts=dict(train=6, val=3, testA=3, testB=3), num_workers=1)
    return root, meta['statistics']


@pytest.mark.parametrize('split', ['train', 'val', 'testA', 'testB'])
def test_reads_what_was_generated(data_root, tmp_path, split):
    root, statistics = data_root
    train = RefShapesDataset(str(root), split=split, cache_dir=str(tmp_path))
    test = RefShapesDataset(str(root), split=split, test_mode=True, cache_dir=str(tmp_path))
    assert len(train) == statistics[split]['refs']
    assert len(test) == statistics[split]['expressions']
    record = test.get_data_info(0)
    assert record['split'] == split
    assert len(record['sentences']) == 1
    assert decode_target(record['targets'], record['height'], record['width']).sum() > 50


def test_split_that_does_not_exist(data_root, tmp_path):
    with pytest.raises(ValueError, match="'test'"):
        RefShapesDataset(str(data_root[0]), split='test', cache_dir=str(tmp_path))
