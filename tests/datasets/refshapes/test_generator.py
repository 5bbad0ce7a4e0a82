"""The files of RefShapes, checked from the outside: expressions are parsed back and judged by the masks alone."""
from __future__ import annotations

import hashlib
import json
import re

import cv2
import numpy as np
import pytest

from mmseg_ris_kd.datasets.refer import decode_target
from mmseg_ris_kd.datasets.refer.files import read_refs
from mmseg_ris_kd.datasets.refshapes import generator
from mmseg_ris_kd.datasets.refshapes.generator import encode_mask, generate_refshapes

COUNTS = dict(train=60, val=20, testA=24, testB=24)

# The test's own lexicon and grammar, written without a look at the generator's.
LEXICON = {
    'size': dict(small='small', little='small', large='large', big='large'),
    'texture': dict(plain='plain', solid='plain', striped='striped', stripes='striped', dotted='dotted', dots='dotted',
                    checkered='checkered', checks='checkered'),
    'colour': {word: word for word in 'red orange yellow green cyan blue purple pink'.split()},
    'shape': {word: word for word in 'circle square triangle star cross ring diamond heart'.split()},
}
FILLERS = {'the', 'shape', 'thing', 'object', 'one', 'with', 'that', 'is'}
RELATION = re.compile(r'(.+?) (to the left of|left of|to the right of|right of|above|higher than|below|lower than|'
                      r'closest to|nearest to) the (.+)')
CORNERS = [f'{row} {side}' for row in ('top', 'bottom') for side in ('left', 'right')]
POSITIONS = {
    **{f'{name}most': f'{name}most' for name in ('left', 'right', 'top', 'bottom')},
    'highest': 'topmost', 'lowest': 'bottommost', 'closest to top': 'topmost', 'closest to bottom': 'bottommost',
    'farthest to left': 'leftmost', 'farthest to right': 'rightmost',
    **{name: name for name in ('left', 'right', 'top', 'bottom')}, 'upper': 'top', 'lower': 'bottom',
    'on left': 'left', 'on left side': 'left', 'on right': 'right', 'on right side': 'right', 'at top': 'top',
    'at bottom': 'bottom', **{corner: corner for corner in CORNERS},
    **{f'in {corner} corner': corner for corner in CORNERS}, **{f'at {corner}': corner for corner in CORNERS},
    'middle': 'middle', 'central': 'middle', 'in middle': 'middle', 'in center': 'middle',
}


def parse_noun_phrase(text):
    """Attributes named by a phrase, and the words that are left."""
    attributes, rest = {}, []
    for word in text.split():
        kinds = [kind for kind, words in LEXICON.items() if word in words]
        if kinds:
            assert kinds[0] not in attributes, text
            attributes[kinds[0]] = LEXICON[kinds[0]][word]
        elif word not in FILLERS:
            rest.append(word)
    return attributes, ' '.join(rest)


def parse(text):
    """(kind, attributes of the target, position or relation, attributes of the anchor)."""
    relation = RELATION.fullmatch(text)
    if relation and relation[3] not in ('top', 'bottom'):
        target, rest = parse_noun_phrase(relation[1])
        anchor, anchor_rest = parse_noun_phrase(relation[3])
        assert rest == anchor_rest == '', text
        return 'relation', target, relation[2], anchor
    target, rest = parse_noun_phrase(text)
    return ('position', target, POSITIONS[rest], None) if rest else ('attribute', target, None, None)


def satisfying(text, objects):
    """Indices of the objects an expression is true of, by the plain meaning of the words and without any margin."""

    def having(attributes):
        return [k for k, item in enumerate(objects) if all(item[name] == value for name, value in attributes.items())]

    kind, target, place, anchor_attributes = parse(text)
    found = having(target)
    if kind == 'relation':
        anchors = having(anchor_attributes)
        assert len(anchors) == 1, f'{text}: {len(anchors)} anchors'
        anchor = objects[anchors[0]]
        found = [k for k in found if k != anchors[0]]
        if place in ('closest to', 'nearest to'):
            distance = {k: np.hypot(objects[k]['x'] - anchor['x'], objects[k]['y'] - anchor['y']) for k in found}
            return [k for k in found if distance[k] == min(distance.values())]
        test = {'left': lambda item: item['x'] < anchor['x'], 'right': lambda item: item['x'] > anchor['x'],
                'above': lambda item: item['y'] < anchor['y'], 'below': lambda item: item['y'] > anchor['y']}
        word = dict(higher='above', lower='below').get(place.split()[0], place.replace('to the ', '').split()[0])
        return [k for k in found if test[word](objects[k])]
    if kind == 'position' and place.endswith('most'):
        axis, sign = dict(leftmost=('x', 1), rightmost=('x', -1), topmost=('y', 1), bottommost=('y', -1))[place]
        best = min(sign * objects[k][axis] for k in found)
        return [k for k in found if sign * objects[k][axis] == best]
    if place == 'middle':
        return [k for k in found if max(abs(objects[k]['x'] - 0.5), abs(objects[k]['y'] - 0.5)) < 0.2]
    for word in (place or '').split():
        axis, low = dict(left=('x', True), right=('x', False), top=('y', True), bottom=('y', False))[word]
        found = [k for k in found if (objects[k][axis] < 0.5) == low]
    return found


class Files:
    """A generated dataset, read back."""

    def __init__(self, root):
        self.root = root
        self.refs = read_refs(root / 'refshapes' / 'refs(generated).p')
        self.instances = json.loads((root / 'refshapes' / 'instances.json').read_text())
        self.meta = json.loads((root / 'refshapes' / 'meta.json').read_text())
        self.vocabulary = (root / 'refshapes' / 'vocab.txt').read_text().split('\n')
        self.annotations = {item['id']: item for item in self.instances['annotations']}
        self.images = {item['id']: item for item in self.instances['images']}
        self.split_of = {ref['image_id']: ref['split'] for ref in self.refs}

    def objects(self, image_id):
        """Annotation ids and objects (attributes, centre of the mask) of an image."""
        chosen = [item for item in self.annotations.values() if item['image_id'] == image_id]
        size = self.images[image_id]['width']
        objects = []
        for item in chosen:
            ys, xs = np.nonzero(decode_target([item['segmentation']], size, size))
            objects.append(dict(item['attributes'], x=(xs.mean() + .5) / size, y=(ys.mean() + .5) / size))
        return [item['id'] for item in chosen], objects

    def expressions(self, *splits):
        return [(ref, sentence) for ref in self.refs if not splits or ref['split'] in splits
                for sentence in ref['sentences']]


def digest(root):
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp('refshapes')
    generate_refshapes(root, counts=COUNTS, num_workers=1)
    return Files(root)


@pytest.mark.parametrize('difficulty', ['easy', 'medium', 'hard'])
def test_exactly_the_target_satisfies_every_expression(files, tmp_path, difficulty):
    if difficulty != 'medium':
        generate_refshapes(tmp_path, counts=dict(train=25, val=0, testA=10, testB=10), num_workers=1, seed=3,
                           difficulty=difficulty)
        files = Files(tmp_path)
    for ref, sentence in files.expressions():
        ids, objects = files.objects(ref['image_id'])
        assert [ids[k] for k in satisfying(sentence['sent'], objects)] == [ref['ann_id']], (ref['file_name'], sentence)
        assert parse(sentence['sent'])[0] == sentence['kind']


def test_expressions_are_worded_within_the_vocabulary(files):
    assert files.vocabulary[:5] == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    assert len(set(files.vocabulary)) == len(files.vocabulary)
    for _, sentence in files.expressions():
        assert 2 <= len(sentence['tokens']) <= 12, sentence
        assert sentence['raw'] == sentence['sent'] == ' '.join(sentence['tokens'])
        assert set(sentence['tokens']) <= set(files.vocabulary), sentence


def test_kinds_of_expressions_per_split(files):
    kinds = {split: {sentence['kind'] for _, sentence in files.expressions(split)} for split in COUNTS}
    assert kinds['train'] == kinds['val'] == {'attribute', 'position', 'relation'}
    assert kinds['testA'] == {'attribute'}
    assert kinds['testB'] == {'relation'}
    train = [sentence['kind'] for _, sentence in files.expressions('train')]
    assert 0.1 < train.count('relation') / len(train) < 0.4


def test_testb_relations_are_necessary(files):
    for ref, sentence in files.expressions('testB'):
        _, target, _, _ = parse(sentence['sent'])
        fitting = [item for item in files.objects(ref['image_id'])[1]
                   if all(item[name] == value for name, value in target.items())]
        assert len(fitting) >= 2, sentence


def test_held_out_pairs_are_never_in_train_and_are_named_in_test(files):
    held_out = {tuple(pair) for pair in files.meta['held_out']}
    assert len(held_out) == len({shape for shape, _ in held_out}) == len({colour for _, colour in held_out}) == 8
    pairs = {item['id']: (item['attributes']['shape'], item['attributes']['colour'])
             for item in files.annotations.values()}
    for item in files.annotations.values():
        assert item['attributes']['held_out'] == (pairs[item['id']] in held_out)
        if pairs[item['id']] in held_out:
            assert files.split_of[item['image_id']] in ('testA', 'testB')
    for split in ('testA', 'testB'):
        targets = [(ref, sentence) for ref, sentence in files.expressions(split) if pairs[ref['ann_id']] in held_out]
        assert 0.25 < len({ref['image_id'] for ref, _ in targets}) / COUNTS[split] < 0.75
        for ref, sentence in targets:
            target = parse(sentence['sent'])[1]
            assert (target['shape'], target['colour']) == pairs[ref['ann_id']]


def test_refs_and_masks(files):
    for image_id, image in files.images.items():
        owned = [item for item in files.annotations.values() if item['image_id'] == image_id]
        assert 3 <= len(owned) <= 6
        masks = [decode_target([item['segmentation']], image['height'], image['width']) for item in owned]
        assert np.sum(masks, axis=0).max() == 1, 'a pixel shows two objects'
        for item, mask in zip(owned, masks):
            ys, xs = np.nonzero(mask)
            assert item['area'] == mask.sum() >= 50
            assert item['bbox'] == [xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()]
            assert item['attributes']['visible'] >= 0.7
        assert cv2.imread(str(files.root / 'images' / 'refshapes' / image['file_name'])).shape == (96, 96, 3)
    for ref in files.refs:
        assert 1 <= len(ref['sentences']) <= 3
        assert len({sentence['sent'] for sentence in ref['sentences']}) == len(ref['sentences'])
        assert ref['sent_ids'] == [sentence['sent_id'] for sentence in ref['sentences']]
        assert ref['category_id'] == files.annotations[ref['ann_id']]['category_id']
        assert files.images[ref['image_id']]['file_name'] == ref['file_name']
    for ids in ([ref['ref_id'] for ref in files.refs], [sentence['sent_id'] for _, sentence in files.expressions()]):
        assert len(set(ids)) == len(ids)


def test_statistics(files):
    for split, count in COUNTS.items():
        row = files.meta['statistics'][split]
        assert row['images'] == count
        assert row['refs'] == sum(ref['split'] == split for ref in files.refs)
        assert row['expressions'] == len(files.expressions(split))
        assert row['expressions'] == row['attribute'] + row['position'] + row['relation']


def test_encode_mask_against_a_plain_rewrite():
    mask = np.zeros((3, 4), dtype=bool)
    mask[1:, 1] = mask[0, 2] = True  # columns: 000 011 100 000
    assert encode_mask(mask) == dict(size=[3, 4], counts=[4, 3, 5])
    assert encode_mask(~mask) == dict(size=[3, 4], counts=[0, 4, 3, 5])


def test_same_bytes_from_several_processes_and_another_folder(files, tmp_path):
    generate_refshapes(tmp_path, counts=COUNTS, num_workers=2)
    assert digest(tmp_path) == digest(files.root)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ['images', 'refshapes']


def test_another_seed_gives_other_images_but_the_same_vocabulary(files, tmp_path):
    generate_refshapes(tmp_path, counts=dict(train=2, val=0, testA=0, testB=0), num_workers=1, seed=1)
    other, first = digest(tmp_path), digest(files.root)
    assert other['refshapes/vocab.txt'] == first['refshapes/vocab.txt']
    assert other['images/refshapes/train_000000.jpg'] != first['images/refshapes/train_000000.jpg']


def test_larger_counts_leave_earlier_images_alone(files, tmp_path):
    generate_refshapes(tmp_path, counts=dict(train=70, val=5, testA=0, testB=24), num_workers=1)
    other, before, after = Files(tmp_path), digest(files.root), digest(tmp_path)
    common = [name for name in before if name.endswith('.jpg') and name in after]
    assert len(common) == 60 + 5 + 24
    assert all(before[name] == after[name] for name in common)
    images = set(files.images) & set(other.images)
    assert len(images) == len(common)
    for attribute in ('refs', 'instances'):
        one, two = (getattr(item, attribute) for item in (files, other))
        if attribute == 'instances':
            one, two = one['annotations'], two['annotations']
        one, two = ([item for item in items if item['image_id'] in images] for items in (one, two))
        assert one == two


def test_objects_keep_their_proportions_at_another_image_size(tmp_path):
    generate_refshapes(tmp_path, counts=dict(train=4, val=0, testA=0, testB=0), image_size=192, num_objects=(3, 3),
                       num_workers=1)
    files = Files(tmp_path)
    assert len(files.annotations) == 12
    for item in files.annotations.values():
        side = max(item['bbox'][2:]) / 192
        assert (0.12 < side < 0.29) if item['attributes']['size'] == 'small' else (0.20 < side < 0.50)


def test_reuses_the_same_dataset_and_refuses_another(tmp_path, monkeypatch):
    few = dict(train=2, val=1, testA=0, testB=0)
    meta = generate_refshapes(tmp_path, counts=few, num_workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(generator, 'generate_image', None)  # would fail if anything were drawn
        assert generate_refshapes(tmp_path, counts=few, num_workers=1) == meta
    with pytest.raises(FileExistsError, match=r'seed: there 0, asked for 7.*--overwrite'):
        generate_refshapes(tmp_path, counts=few, num_workers=1, seed=7)
    before = digest(tmp_path)
    generate_refshapes(tmp_path, counts=dict(few, train=1), num_workers=1, overwrite=True)
    assert set(before) - set(digest(tmp_path)) == {'images/refshapes/train_000001.jpg'}


@pytest.mark.parametrize('overwrite', [False, True])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch, overwrite):
    few = dict(train=2, val=0, testA=0, testB=0)
    if overwrite:
        generate_refshapes(tmp_path, counts=few, num_workers=1, seed=5)
    before = digest(tmp_path)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(generator, 'write_annotations', interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate_refshapes(tmp_path, counts=few, num_workers=1, overwrite=overwrite)
    assert digest(tmp_path) == before
    assert not list(tmp_path.glob('.refshapes-*'))


def test_a_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / 'images' / 'refshapes').mkdir(parents=True)
    with pytest.raises(FileExistsError, match='no complete RefShapes dataset'):
        generate_refshapes(tmp_path, num_workers=1)


@pytest.mark.parametrize('arguments, message', [
    (dict(image_size=32), 'image_size must be at least 64'),
    (dict(difficulty='brutal'), "easy, medium, hard, got 'brutal'"),
    (dict(counts=dict(test=3)), "the split 'test'"),
    (dict(counts=dict(train=-1)), r"counts\['train'\]"),
    (dict(counts=dict(train=0, val=0, testA=0, testB=0)), '0 for every split'),
    (dict(num_objects=(2, 4)), r'num_objects must be'),
    (dict(num_workers=0), 'num_workers must be at least 1'),
])
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_refshapes(tmp_path / 'new', **arguments)
    assert not (tmp_path / 'new').exists()


def test_too_many_objects_end_in_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, 'MAX_ATTEMPTS', 1)
    with pytest.raises(ValueError, match=r'num_objects=\(9, 9\) do not fit'):
        generate_refshapes(tmp_path, counts=dict(val=0, testA=0, testB=0), difficulty='easy', num_objects=(9, 9),
                           num_workers=1)
    assert not list(tmp_path.iterdir())
