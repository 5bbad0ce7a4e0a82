import json
import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest

from mmseg_ris_kd.datasets.refer import decode_target, load_refer_index
from mmseg_ris_kd.datasets.refer import index as refer_index
from mmseg_ris_kd.datasets.refer.cache import default_cache_dir

TRIANGLE, SQUARE = [[0, 0, 4, 0, 4, 4]], [[1, 1, 5, 1, 5, 5, 1, 5]]


def _sentence(sent_id, sent, raw):
    return dict(sent_id=sent_id, sent=sent, raw=raw, tokens=sent.split())


REFS = [
    dict(ref_id=1, ann_id=10, image_id=100, category_id=3, split='train', file_name='a_1.jpg',
         sentences=[_sentence(7, 'left man', 'Left man!'), _sentence(8, 'left man', 'left man'),
                    _sentence(9, 'left man', 'Left man!')]),
    dict(ref_id=2, ann_id=11, image_id=101, category_id=4, split='testA', file_name='b_2.jpg',
         sentences=[dict(sent='左 👍')]),
    dict(ref_id=3, ann_id=10, image_id=100, category_id=3, split='train', file_name='a_3.jpg',
         sentences=[_sentence(12, 'left man', 'left man'), dict(raw='the café', sent_id=13)]),
]
INSTANCES = dict(
    images=[dict(id=101, file_name='b.jpg', height=7, width=9), dict(id=100, file_name='a.jpg', height=6, width=8)],
    annotations=[dict(id=10, image_id=100, segmentation=TRIANGLE), dict(id=11, image_id=101, segmentation=SQUARE)])


def _write(folder, refs=REFS, instances=INSTANCES):
    folder.mkdir(exist_ok=True)
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs, 2))
    (folder / 'instances.json').write_text(json.dumps(instances))
    return folder / 'refs(unc).p', folder / 'instances.json', folder.parent / 'cache'


@pytest.fixture
def files(tmp_path):
    return _write(tmp_path / 'refcoco')


def _contents(index):
    rows = range(sum(len(index.ref_rows(split)) for split in index.splits))
    return [(index.ref(row), index.targets(row), [index.sentence(s) for s in index.sentence_rows(row)]) for row in rows]


def _no_parsing(monkeypatch):
    def fail(*args):
        raise AssertionError('the files were parsed again')

    monkeypatch.setattr(refer_index, 'read_refs', fail)
    monkeypatch.setattr(refer_index, 'read_instances', fail)


def test_rows_and_records(files):
    index = load_refer_index(*files)
    assert index.splits == ('train', 'testA') and index.faults == []
    assert index.ref_rows('train').tolist() == [0, 2] and index.ref_rows('testA').tolist() == [1]
    assert [list(index.sentence_rows(row)) for row in range(3)] == [[0, 1, 2], [3], [4, 5]]
    assert [index.ref_of_sentence(row) for row in range(6)] == [0, 0, 0, 1, 2, 2]
    assert index.num_sentences([0, 2]) == 5 and index.num_sentences([]) == 0
    assert index.counts('train') == (1, 2, 5) and index.counts('testA') == (1, 1, 1)
    assert index.ref(0) == dict(ref_id=1, ann_id=10, category_id=3, split='train', image_id=100, file_name='a.jpg',
                                height=6, width=8)
    assert index.ref(1)['file_name'] == 'b.jpg' and (index.ref(1)['height'], index.ref(1)['width']) == (7, 9)
    assert [type(value) for value in index.ref(0).values()] == [int, int, int, str, int, str, int, int]
    assert [index.targets(row) for row in range(3)] == [[TRIANGLE], [SQUARE], [TRIANGLE]]


def test_sentences(files):
    index = load_refer_index(*files)
    assert index.sentence(0) == dict(sent_id=7, raw='Left man!', sent='left man')
    assert index.sentence(2) == dict(sent_id=9, raw='Left man!', sent='left man')  # duplicates stay
    assert index.sentence(3) == dict(sent_id=3, raw='左 👍', sent='左 👍')  # no raw, no sent_id
    assert index.sentence(5) == dict(sent_id=13, raw='the café', sent='the café')  # no sent


def test_unknown_split(files):
    with pytest.raises(ValueError, match=r"refs\(unc\)\.p has no split 'val'; it has 'train', 'testA'"):
        load_refer_index(*files).ref_rows('val')


def test_grefcoco(tmp_path):
    refs = [dict(ref_id=row, ann_id=ann_id, image_id=100, category_id=category, split='val', sentences=[dict(sent='x')])
            for row, (ann_id, category) in enumerate([([10, 12], [3, 5]), ([-1], [-1]), ([], []), ([10], [3])])]
    instances = dict(INSTANCES, annotations=INSTANCES['annotations'] + [dict(id=12, image_id=100, segmentation=SQUARE)])
    _, ann_file, cache = _write(tmp_path / 'grefcoco', instances=instances)
    split_file = ann_file.with_name('grefs(unc).json')
    split_file.write_text(json.dumps(refs))
    index = load_refer_index(split_file, ann_file, cache)
    assert [index.ref(row)['ann_id'] for row in range(4)] == [[10, 12], [], [], 10]
    assert [index.ref(row)['category_id'] for row in range(4)] == [[3, 5], -1, -1, 3]
    assert [index.targets(row) for row in range(4)] == [[TRIANGLE, SQUARE], [], [], [TRIANGLE]]
    assert index.faults == []


def test_faulty_refs_can_be_listed_and_their_targets_raise(tmp_path):
    refs = [REFS[0], dict(REFS[1], ann_id=99, image_id=999)]
    index = load_refer_index(*_write(tmp_path / 'refcoco', refs))
    assert [(fault.ref_row, fault.kind) for fault in index.faults] == [(1, 'missing_image'), (1, 'missing_annotation')]
    assert index.ref(1)['image_id'] == 999 and index.ref(1)['file_name'] == '' and index.ref(1)['height'] == 0
    with pytest.raises(ValueError, match='annotation 99 of ref 2 is not among'):
        index.targets(1)


@pytest.mark.parametrize('break_file', [0, 1])
def test_broken_and_missing_files(files, break_file):
    files[break_file].write_bytes(b'{"images": [')
    with pytest.raises(ValueError, match='truncated'):
        load_refer_index(*files)
    files[break_file].unlink()
    with pytest.raises(FileNotFoundError, match=('split_file', 'ann_file')[break_file]):
        load_refer_index(*files)


def test_cache_is_reused_and_memory_mapped(files, monkeypatch):
    first = load_refer_index(*files)
    _no_parsing(monkeypatch)
    second = load_refer_index(*map(str, files))
    assert _contents(first) == _contents(second)
    for index in (first, second):
        assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in index.tables.arrays.values())


def test_faults_survive_the_cache(tmp_path, monkeypatch):
    files = _write(tmp_path / 'refcoco', [dict(REFS[0], sentences=[dict(sent=' ')]), REFS[1]])
    first = load_refer_index(*files)
    _no_parsing(monkeypatch)
    assert load_refer_index(*files).faults == first.faults and first.faults[0].kind == 'empty_expression'


@pytest.mark.parametrize('changed', ['refs', 'instances', 'mtime'])
def test_changed_files_invalidate(files, changed):
    load_refer_index(*files)
    if changed == 'refs':
        files[0].write_bytes(pickle.dumps(REFS[1:], 2))
    elif changed == 'instances':
        files[1].write_text(json.dumps(INSTANCES).replace('"a.jpg"', '"changed.jpg"'))
    else:  # same size, only the time tells
        time = files[1].stat().st_mtime_ns
        files[1].write_text(json.dumps(INSTANCES).replace('"a.jpg"', '"z.jpg"'))
        os.utime(files[1], ns=(time, time + 1000))
    index = load_refer_index(*files)
    names = {record['file_name'] for record, _, _ in _contents(index)}
    assert names == {dict(refs='a.jpg', instances='changed.jpg', mtime='z.jpg')[changed], 'b.jpg'}
    assert len(_contents(index)) == (2 if changed == 'refs' else 3)
    assert len(list((files[2] / 'refer').iterdir())) == 1  # the old entry is gone, no scratch folder stays


def test_datasets_do_not_share_entries(tmp_path):
    one, two = _write(tmp_path / 'refcoco'), _write(tmp_path / 'refcoco+', REFS[1:])
    for files in (one, two, one):
        assert load_refer_index(*files).splits[0] == ('train' if files is one else 'testA')
    assert len(list((one[2] / 'refer').iterdir())) == 2


def _truncate(entry):
    (entry / 'blob.npy').write_bytes((entry / 'blob.npy').read_bytes()[:-5])


def _flip(entry):
    data = bytearray((entry / 'sentences.npy').read_bytes())
    data[-3] ^= 1
    (entry / 'sentences.npy').write_bytes(data)


def _retype(entry):
    np.save(entry / 'refs.npy', np.zeros(3))


def _pickled(entry):
    np.save(entry / 'refs.npy', np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize('damage', [
    _truncate, _flip, _retype, _pickled, lambda entry: (entry / 'meta.json').write_text('{"splits"'),
    lambda entry: (entry / 'meta.json').write_text('[]'), lambda entry: (entry / 'targets.npy').unlink(),
    lambda entry: (shutil.rmtree(entry), entry.write_text('a file'))])
def test_damaged_entry_is_rebuilt(files, damage, monkeypatch):
    first = load_refer_index(*files)
    expected = _contents(first)
    del first
    damage(next((files[2] / 'refer').iterdir()))
    assert _contents(load_refer_index(*files)) == expected
    _no_parsing(monkeypatch)  # the rebuilt entry is sound
    assert _contents(load_refer_index(*files)) == expected
    assert len(list((files[2] / 'refer').iterdir())) == 1


def test_unwritable_cache_works_in_memory(files):
    files[2].write_text('a file where the cache folder should be')
    with pytest.warns(UserWarning, match='Cannot write the index .*MMSEG_RIS_KD_CACHE') as warned:
        index = load_refer_index(*files)
    assert len(warned) == 1 and index.entry is None
    copy = pickle.loads(pickle.dumps(index))
    assert _contents(copy) == _contents(index) and copy.splits == index.splits and copy.split_file == files[0]


def test_default_cache_dir(files, tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_RIS_KD_CACHE', str(tmp_path / 'ours'))
    load_refer_index(*files[:2])
    assert list((tmp_path / 'ours' / 'refer').iterdir()) and not files[2].exists()
    monkeypatch.delenv('MMSEG_RIS_KD_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert default_cache_dir() == tmp_path / 'xdg' / 'mmseg_ris_kd'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert default_cache_dir() == tmp_path / '.cache' / 'mmseg_ris_kd'


def test_pickled_index_reopens_the_files(files, monkeypatch):
    index = load_refer_index(*files)
    data = pickle.dumps(index)
    assert b'left man' not in data and len(data) < 1000
    _no_parsing(monkeypatch)
    copy = pickle.loads(data)
    assert all(isinstance(array, np.memmap) for array in copy.tables.arrays.values())
    assert _contents(copy) == _contents(index)


def test_pickled_index_after_the_cache_was_cleared_or_the_files_changed(files):
    index = load_refer_index(*files)
    data, expected = pickle.dumps(index), _contents(index)
    shutil.rmtree(files[2])
    assert _contents(pickle.loads(data)) == expected
    files[0].write_bytes(pickle.dumps(REFS[1:], 2))
    load_refer_index(*files)
    with pytest.raises(ValueError, match='changed after this run had opened them'):
        pickle.loads(data)


def _open_and_send(files, queue):
    queue.put(_contents(load_refer_index(*files)))


def test_processes_that_build_at_once(files):
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    workers = [context.Process(target=_open_and_send, args=(files, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(result == _contents(load_refer_index(*files)) for result in results)
    assert len(list((files[2] / 'refer').iterdir())) == 1


@pytest.mark.parametrize('dataset, expressions, ids', [('refcoco', 30, (46581, 1224861, 132475)),
                                                       ('refcoco+', 27, (0, 1224861, 0))])
def test_real_sample(shared_data, tmp_path, dataset, expressions, ids):
    folder = shared_data / 'refer' / dataset
    index = load_refer_index(folder / 'refs(unc).p', folder / 'instances.json', tmp_path)
    assert index.splits == ('testA', ) and index.counts('testA') == (10, 10, expressions) and index.faults == []
    assert (index.ref(0)['ref_id'], index.ref(0)['ann_id'], index.sentence(0)['sent_id']) == ids
    for row in index.ref_rows('testA'):
        ref = index.ref(row)
        assert (shared_data / 'refer/images/mscoco/images/train2014' / ref['file_name']).is_file()
        assert decode_target(index.targets(row), ref['height'], ref['width']).shape == (ref['height'], ref['width'])


def test_real_boxes_against_the_files_themselves(shared_data, tmp_path):
    folder = shared_data / 'refer_boxes' / 'refcoco'
    index = load_refer_index(folder / 'refs(unc).p', folder / 'instances.json', tmp_path)
    refs = pickle.loads((folder / 'refs(unc).p').read_bytes())
    segmentations = {annotation['id']: annotation['segmentation']
                     for annotation in json.loads((folder / 'instances.json').read_text())['annotations']}
    assert index.faults == []
    for row, ref in enumerate(refs):
        assert {key: ref[key] for key in ('ref_id', 'ann_id', 'image_id', 'split', 'category_id')}.items() \
            <= index.ref(row).items()
        assert index.targets(row) == [segmentations[ref['ann_id']]]
        assert [index.sentence(s) for s in index.sentence_rows(row)] == [
            {key: sentence[key] for key in ('sent_id', 'raw', 'sent')} for sentence in ref['sentences']]
