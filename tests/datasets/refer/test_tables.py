import pytest

from mmseg_ris_kd.datasets.refer.tables import build_tables

IMAGES = [dict(id=100, file_name='a.jpg', height=6, width=8), dict(id=101, file_name='b.jpg', height=6, width=8),
          dict(id=102, file_name='unused.jpg', height=6, width=8), dict(id=103)]
TRIANGLE = [[0, 0, 4, 0, 4, 4]]
ANNOTATIONS = [dict(id=10, image_id=100, segmentation=TRIANGLE), dict(id=11, image_id=101, segmentation=TRIANGLE),
               dict(id=12, image_id=100, segmentation=[[0, 0, 4, 4]]),
               dict(id=13, image_id=100, segmentation=[[0, 0, 4, 0, 4, 4, 1]]), dict(id=14, image_id=100),
               dict(id=15, image_id=100, segmentation=dict(size=[8, 6], counts=[48])),
               dict(id=16, image_id=102, segmentation=TRIANGLE),
               dict(id=17, image_id=999, segmentation=dict(size=[6, 8], counts=[48])),
               dict(id=18, image_id=999, segmentation=dict(size=[None, None], counts=[48]))]


def _ref(ref_id=1, ann_id=10, image_id=100, split='val', sentences=None, **extra):
    return dict(ref_id=ref_id, ann_id=ann_id, image_id=image_id, split=split, category_id=1,
                sentences=[dict(sent_id=5, raw='left', sent='left')] if sentences is None else sentences, **extra)


def _build(*refs):
    return build_tables(refs, IMAGES, ANNOTATIONS, split_file='d/refs(unc).p', ann_file='d/instances.json')


def test_only_what_refs_use_is_kept():
    arrays = _build(_ref(1), _ref(2, 11, 101), _ref(3)).arrays
    assert arrays['images']['image_id'].tolist() == [100, 101]
    assert len(arrays['annotations']) == 2 and len(arrays['targets']) == 3
    assert b'unused' not in arrays['blob'].tobytes()


@pytest.mark.parametrize('ref, kind, words', [
    (_ref(7, 99), 'missing_annotation', ['d/instances.json', 'annotation 99', 'ref 7', 'use the instances.json']),
    (_ref(7, [10, 99]), 'missing_annotation', ['annotation 99', 'ref 7']),
    (_ref(7, 10, 100, sentences=[]), 'no_sentences', ['d/refs(unc).p', 'ref 7', 'add one']),
    (_ref(7, 16, 100), 'image_mismatch', ['annotation 16', 'image 102', 'ref 7', 'image 100']),
    (_ref(7, 12), 'polygon', ['annotation 12', 'ref 7', '2 points', 'correct']),
    (_ref(7, 13), 'polygon', ['odd number of coordinates (7)']),
    (_ref(7, 14), 'segmentation', ['annotation 14', 'None']),
    (_ref(7, 15), 'rle', ['annotation 15', '[8, 6]', '[6, 8]']),
    (_ref(7, 17, 999), 'missing_image', ['d/instances.json', 'image 999', 'ref 7']),
    (_ref(7, 18, 999), 'missing_image', ['image 999']),
    (_ref(7, sentences=[dict(sent_id=44, sent=' \t\u00a0\u200b\x00 ')]), 'empty_expression', ['sentence 44', 'ref 7']),
    (_ref(7, sentences=[dict(sent_id=44, sent='')]), 'empty_expression', ['d/refs(unc).p', 'write an expression']),
    *((_ref(7, sentences=[dict(sent_id=44, sent=text)]), 'empty_expression', ['d/refs(unc).p: sentence 44 of ref 7'])
      for text in ('\ufe0f', '\u0301', '\ufffd', '\ud83d', '&nbsp;', '\x1b[36m')),
    (_ref(7, sentences=[dict(sent_id=44, sent='far ' * 129)]), 'long_expression', ['sentence 44', '129 words']),
    (_ref(7, sentences=[dict(sent_id=44, sent='左 ' * 600)]), 'long_expression', ['600 words']),
])
def test_faults(ref, kind, words):
    tables = _build(_ref(), ref)
    (fault,) = tables.faults
    assert (fault.ref_row, fault.ref_id, fault.kind, fault.field) == (1, 7, kind, '')
    assert all(word in fault.message for word in words), fault.message


def test_every_ref_of_a_bad_annotation_is_faulty():
    assert [fault.ref_row for fault in _build(_ref(1, 12), _ref(2), _ref(3, 12)).faults] == [0, 2]


def test_sound_refs_have_no_faults():
    sentences = [dict(sent=text) for text in ('左', '👍', 'é', '5', '?', 'far ' * 128)]
    assert _build(_ref(sentences=sentences), _ref(2, []), _ref(3, [-1]), _ref(4, [10, 12][:1])).faults == []


@pytest.mark.parametrize('field', ['raw', 'sent'])
def test_fault_of_one_field_names_it(field):
    sentence = dict(sent_id=44, raw='left', sent='left')
    sentence[field] = ''
    (fault,) = _build(_ref(7, sentences=[sentence])).faults
    assert (fault.kind, fault.field) == ('empty_expression', field) and f'"{field}"' in fault.message


@pytest.mark.parametrize('changes, message', [
    (dict(ref_id='x'), r"refs\(unc\)\.p: record 1 .*\"ref_id\" is 'x', expected an integer"),
    (dict(ann_id=None), 'record 1 .*"ann_id" is None'),
    (dict(ann_id=[10, 'a']), 'record 1 .*"ann_id"'),
    (dict(image_id=1.5), 'record 1 .*"image_id" is 1.5'),
    (dict(image_id=True), 'record 1 .*"image_id" is True'),
    (dict(ref_id=2**63), 'record 1 .*"ref_id"'),
    (dict(sentences=[dict(sent='a', sent_id='b')]), 'record 1 .*"sent_id"'),
    (dict(image_id=103), r'instances\.json: "images" record 3 .*id 103.* needs a "file_name"'),
])
def test_records_without_usable_numbers(changes, message):
    with pytest.raises(ValueError, match=message):
        _build(_ref(), dict(_ref(), **changes))
