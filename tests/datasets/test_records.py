import copy
import pickle

import numpy as np
import pytest
from mmseg.registry import DATASETS


@pytest.fixture
def dataset(write_refer):
    r = write_refer.ref
    root = write_refer([r(n, *(f'{n}-{k}' for k in range(3))) for n in range(6)])
    return DATASETS.build(dict(type='RefCOCODataset', data_root=str(root), expression_mode='all'))


def texts(view):
    return [record['sentences'][0]['text'] for record in view]


def test_a_view_reads_like_a_list(dataset):
    view = dataset.data_list
    everything = [f'{n}-{k}' for n in range(6) for k in range(3)]
    assert texts(view) == everything and len(view) == 18
    assert texts(view[2:9:3]) == everything[2:9:3] and texts(view[-2:]) == everything[-2:]
    assert texts(view[4:][1:3]) == everything[5:7] and texts(view.select([5, -1, 0])) == ['1-2', '5-2', '0-0']
    with pytest.raises(IndexError):
        view[18]


def test_copies_share_the_index_and_pickles_do_not_carry_it(dataset):
    view = dataset.data_list
    assert copy.deepcopy(view).index is view.index and view[3:].index is view.index
    assert copy.deepcopy(dataset).data_list.index is view.index
    again = pickle.loads(pickle.dumps(view))
    assert texts(again) == texts(view)
    assert len(pickle.dumps(view)) < 2000 + view.rows.nbytes
    assert isinstance(view.rows, np.ndarray) and view.rows.dtype == np.int64
