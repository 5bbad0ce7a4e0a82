"""Tests of predictions on disk."""
import json
import math

import numpy as np
import pytest

from mmseg_ris_kd.evaluation.predictions import PredictionWriter, merge_parts, part_path, read_predictions

pytest.importorskip('pycocotools')
NUMBERS = dict(intersection=1, union=2, iou=0.5, protocol='ours')


def random_mask(seed):
    rng = np.random.default_rng(seed)
    return (rng.random(rng.integers(1, 40, 2)) < rng.choice([0, 0.5, 1])).astype(np.uint8)


def write(path, *, rank, names):
    writer = PredictionWriter(path, rank=rank)
    for name in names:
        writer.write({'sent_id': name}, random_mask(name), **NUMBERS)
    writer.close()


def test_masks_and_ids_survive(tmp_path):
    path = tmp_path / 'new folder' / 'p.jsonl'
    writer = PredictionWriter(path)
    sample = {'ref_id': np.int64(5), 'sent_id': 7, 'ann_id': [1, 2], 'img_path': 'a/b.jpg',
              'expression': 'le café 🐈\u2028"x"', 'gt_sem_seg': None}
    for seed in range(20):
        writer.write(sample, random_mask(seed), intersection=3, union=4, iou=0.75, protocol='lavt')
    writer.close()
    merge_parts(path, [20])
    records = list(read_predictions(path))
    assert len(records) == 20
    for seed, record in enumerate(records):
        mask = record.pop('mask')
        assert mask.dtype == bool and np.array_equal(mask, random_mask(seed)) and record.pop('size') == list(mask.shape)
        assert record.pop('counts')
        assert record == {'ref_id': 5, 'sent_id': 7, 'ann_id': [1, 2], 'img_path': 'a/b.jpg',
                          'expression': sample['expression'], 'intersection': 3, 'union': 4, 'iou': 0.75,
                          'protocol': 'lavt'}
    assert [file.name for file in path.parent.iterdir()] == ['p.jsonl']


def test_nan_iou_is_valid_json(tmp_path):
    path = tmp_path / 'p.jsonl'
    writer = PredictionWriter(path)
    writer.write({}, np.zeros((2, 2)), **{**NUMBERS, 'iou': float('nan')})
    writer.close()
    merge_parts(path, [1])
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert math.isnan(next(read_predictions(path))['iou'])


def test_parts_are_dealt_back_in_dataset_order_without_padding(tmp_path):
    path = tmp_path / 'p.jsonl'
    write(path, rank=0, names=[0, 3, 6])
    write(path, rank=1, names=[1, 4, 0])  # the last of each is a repetition
    write(path, rank=2, names=[2, 5, 1])
    merge_parts(path, [3, 2, 2])
    assert [record['sent_id'] for record in read_predictions(path)] == [0, 1, 2, 3, 4, 5, 6]


def test_a_process_without_samples_has_no_part(tmp_path):
    path = tmp_path / 'p.jsonl'
    write(path, rank=0, names=[0])
    merge_parts(path, [1, 0])
    assert [record['sent_id'] for record in read_predictions(path)] == [0]


def test_a_failed_merge_leaves_the_old_file(tmp_path):
    path = tmp_path / 'p.jsonl'
    path.write_text('old')
    write(path, rank=0, names=[0, 2])
    with pytest.raises(FileNotFoundError, match='part1.*share'):
        merge_parts(path, [2, 1])
    write(path, rank=1, names=[])
    part_path(path, 1).write_text('')
    with pytest.raises(ValueError, match='part1 ends after 0 of 1'):
        merge_parts(path, [2, 1])
    assert path.read_text() == 'old'


def test_reading_is_lazy_and_names_the_bad_line(tmp_path):
    path = tmp_path / 'p.jsonl'
    write(path, rank=0, names=[0])
    merge_parts(path, [1])
    path.write_text(path.read_text() + '{"ref_id": 1}\n')
    records = read_predictions(path)
    assert next(records)['sent_id'] == 0
    with pytest.raises(ValueError, match='p.jsonl, line 2.*size'):
        next(records)
    with pytest.raises(FileNotFoundError, match='out_file'):
        next(read_predictions(tmp_path / 'absent.jsonl'))
