import json
import os
import pickle
import struct

import numpy as np
import pytest

from mmseg_ris_kd.datasets.refer.files import clean_text, read_instances, read_refs


def _record(**changes):
    record = dict(ref_id=1, ann_id=10, image_id=100, category_id=1, split='val', file_name='x_1.jpg', sent_ids=[5],
                  sentences=[dict(sent_id=5, raw='Left man!', sent='left man', tokens=['left', 'man'])])
    record.update(changes)
    return record


# What cPickle of Python 2 writes with protocol 0 for
# [{'ref_id': 7L, 'ann_id': 8, 'image_id': 9, 'split': 'val',
#   'sentences': [{'sent': 'caf\xe9', 'raw': u'caf\xe9 \u5de6'}]}]
PYTHON2_PROTOCOL_0 = b"""(lp1
(dp2
S'ref_id'
p3
L7L
sS'ann_id'
p4
I8
sS'image_id'
p5
I9
sS'split'
p6
S'val'
p7
sS'sentences'
p8
(lp9
(dp10
S'sent'
p11
S'caf\\xe9'
p12
sS'raw'
p13
Vcaf\xe9 \\u5de6
p14
sasa."""


def _short(text):  # SHORT_BINSTRING, a str of Python 2
    return b'U' + bytes([len(text)]) + text


PYTHON2_PROTOCOL_2 = (
    b'\x80\x02](}(' + _short(b'ref_id') + b'\x8a\x01\x07' + _short(b'ann_id') + b'K\x08' + _short(b'image_id')
    + b'M\x09\x01' + _short(b'split') + _short(b'val') + _short(b'sentences') + b'](}(' + _short(b'sent') + b'T'
    + struct.pack('<i', 5) + b'caf\xc3\xa9' + _short(b'raw') + _short(b'na\xefve') + b'ueue.')


def test_python2_protocol_0(tmp_path):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(PYTHON2_PROTOCOL_0)
    (record,) = read_refs(path)
    assert (record['ref_id'], record['ann_id'], record['image_id'], record['split']) == (7, 8, 9, 'val')
    assert clean_text(record['sentences'][0]['sent']) == 'café'  # a latin1 byte
    assert clean_text(record['sentences'][0]['raw']) == 'café 左'


def test_python2_protocol_2(tmp_path):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(PYTHON2_PROTOCOL_2)
    (record,) = read_refs(path)
    assert (record['ref_id'], record['ann_id'], record['image_id']) == (7, 8, 0x109)
    assert clean_text(record['sentences'][0]['sent']) == 'café'  # UTF-8 bytes
    assert clean_text(record['sentences'][0]['raw']) == 'naïve'  # latin1 bytes


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_python3_protocols_with_numpy_numbers(tmp_path, protocol):
    path = tmp_path / 'refs(unc).p'
    numbers = [np.int64(-3), np.uint8(200), np.float32(0.5), np.float64(1e-3), np.bool_(True), np.array([5], '>i4')[0]]
    record = _record(ref_id=np.int64(12345678901), extra=numbers, data=b'\xff\x00', empty=b'', some={1, 2},
                     sentences=[dict(sent='人 👍')])
    path.write_bytes(pickle.dumps([record], protocol=protocol))
    (read,) = read_refs(path)
    assert type(read['ref_id']) is int and read['ref_id'] == 12345678901
    assert read['extra'] == [-3, 200, 0.5, 1e-3, True, 5]
    assert (read['data'], read['empty'], read['some']) == (b'\xff\x00', b'', {1, 2})
    assert read['sentences'] == [dict(sent='人 👍')]


class _Call:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('function, name', [(os.system, 'system'), (eval, 'eval'), (getattr, 'getattr'),
                                            (pickle.loads, 'loads')])
def test_pickle_that_calls_code_is_refused(tmp_path, protocol, function, name):
    trace = tmp_path / 'ran'
    args = dict(system=(f'touch {trace}', ), eval=(f'open({str(trace)!r}, "w")', ), getattr=(trace, 'touch'),
                loads=(pickle.dumps(_Call(os.mkdir, str(trace))), ))[name]
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(pickle.dumps([_record(extra=_Call(function, *args))], protocol=protocol))
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p asks to use .* was refused.*original source'):
        read_refs(path)
    assert not trace.exists()


def test_dotted_names_do_not_reach_modules(tmp_path):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(b'\x80\x04\x8c\x0bcollections\x8c\x0fabc.sys.modules\x93.')
    with pytest.raises(ValueError, match='collections.abc.sys.modules and was refused'):
        read_refs(path)


def test_a_file_cannot_change_how_the_next_one_is_read(tmp_path):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(b"\x80\x02cnumpy\ndtype\nN}U\x0c__setstate__U\x03badsb\x86b.")  # BUILD on the stand-in class
    with pytest.raises(ValueError):
        read_refs(path)
    path.write_bytes(pickle.dumps([_record(extra=np.int16(-2))], protocol=2))
    assert read_refs(path)[0]['extra'] == -2


@pytest.mark.parametrize('content', [b'', b'not a pickle', pickle.dumps([_record()], 2)[:-20], b'\x80\x02N',
                                     b'\xff' * 9])
def test_damaged_pickle(tmp_path, content):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p is not a readable pickle .*again'):
        read_refs(path)


@pytest.mark.parametrize('content, message', [
    ({'a': 1}, 'expected a list of ref records, but the file holds a dict'),
    ([], 'an empty list'),
    ({'images': [], 'annotations': []}, 'looks like instances.json'),
    ([_record(), 3], r'record 1 \(counting from 0\) is a int'),
    ([_record(), {'ref_id': 2, 'split': 'val'}], r'record 1 .* has no ann_id, image_id, sentences'),
    ([_record(split=3)], 'record 0 .*"split" is 3'),
    ([_record(sentences='left')], 'record 0 .*"sentences" is a str'),
    ([_record(sentences=[dict(sent='left'), dict(sent_id=3)])], 'record 0 .* sentence 1 has no text'),
    ([_record(sentences=[dict(sent=None)])], 'record 0 .* sentence 0 has no text'),
    ([_record(sentences=['left'])], 'record 0 .* sentence 0 has no text'),
])
@pytest.mark.parametrize('name', ['refs(unc).p', 'grefs(unc).json'])
def test_not_refer(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(content, 2) if name.endswith('.p') else json.dumps(content).encode())
    with pytest.raises(ValueError, match=message) as info:
        read_refs(path)
    assert str(path) in str(info.value)


@pytest.mark.parametrize('content', ['{"images": [', '', '\ufffe', '[' * 100000])
def test_broken_json(tmp_path, content):
    for name, read in (('instances.json', read_instances), ('grefs(unc).json', read_refs)):
        (tmp_path / name).write_text(content, encoding='utf-8')
        with pytest.raises(ValueError, match='is not valid JSON .*truncated or damaged'):
            read(tmp_path / name)


@pytest.mark.parametrize('content, message', [
    ([1], 'expected COCO annotations .* holds a list'),
    ({'images': []}, r"with the keys \['images'\]"),
    ({'images': [{}], 'annotations': []}, r'"images" record 0 .* no integer "id"'),
    ({'images': [{'id': 1}], 'annotations': [{'id': 1}, {'id': '2'}]}, r'"annotations" record 1 .* no integer "id"'),
])
def test_not_coco(tmp_path, content, message):
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as info:
        read_instances(path)
    assert str(path) in str(info.value)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='split_file=.*does not exist'):
        read_refs(tmp_path / 'refs(unc).p')
    with pytest.raises(FileNotFoundError, match='ann_file=.*is a folder'):
        read_instances(tmp_path)


@pytest.mark.parametrize('value, text', [
    ('left', 'left'), ('左 👍', '左 👍'), (b'caf\xe9', 'café'), (b'caf\xc3\xa9', 'café'),
    ('\ud83d\udc4d', '👍'), ('a\ud83d', 'a\ufffd')])
def test_clean_text(value, text):
    assert clean_text(value) == text
