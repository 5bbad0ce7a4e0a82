import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader

LOAD = [dict(type='LoadReferringImage'), dict(type='LoadReferringMask'), dict(type='SampleExpression')]
PIPELINE = LOAD + [dict(type='RandomReferringFlip', prob=0.5), dict(type='PackReferringInputs')]


def build(root, **changes):
    return DATASETS.build(dict(type='RefCOCODataset', data_root=str(root), **changes))


@pytest.fixture
def sample(write_refer):
    """Root of three training refs with six expressions, and of val refs whose images alternate in the file."""
    r = write_refer.ref
    return write_refer([
        r(7, 'A one', 'a two', 'a two'), r(5, 'b one', 'b two'), r(7, 'c one'),
        r(9, 'd one', 'd two', split='val'), r(3, 'e one', split='val'), r(9, 'f one', split='val'),
        r(3, 'g one', 'g two', split='val'), r(6, 'h one', split='val'),
    ])


def expressions(dataset):
    return [s['text'] for info in map(dataset.get_data_info, range(len(dataset))) for s in info['sentences']]


def test_training_has_one_record_per_ref_with_all_its_expressions(sample):
    dataset = build(sample)
    assert len(dataset) == 3
    info = dataset.get_data_info(0)
    assert info['sentences'] == [dict(sent_id=0, text='A one'), dict(sent_id=1, text='a two'),
                                 dict(sent_id=2, text='a two')]  # duplicates stay
    expected = dict(ref_id=100, ann_id=1000, img_id=7, height=24, width=40, category_id=1, split='train',
                    dataset='refcoco')
    assert {key: info[key] for key in expected} == expected
    assert info['img_path'] == str(sample / 'images/mscoco/images/train2014/7.png')
    assert (info['seg_fields'], info['reduce_zero_label'], info['sample_idx']) == ([], False, 0)
    assert dataset.get_data_info(-1)['sample_idx'] == 2
    assert dataset.metainfo['classes'] == ('background', 'target')


def test_expression_mode_all_and_field_sent(sample):
    dataset = build(sample, expression_mode='all', expression_field='sent')
    assert expressions(dataset) == ['a one', 'a two', 'a two', 'b one', 'b two', 'c one']
    assert all(len(dataset.get_data_info(i)['sentences']) == 1 for i in range(6))


@pytest.mark.parametrize('mode', ['random', 'all'])
def test_test_mode_has_every_expression_grouped_by_image(sample, mode):
    dataset = build(sample, split='val', test_mode=True, expression_mode=mode)
    assert expressions(dataset) == ['d one', 'd two', 'f one', 'e one', 'g one', 'g two', 'h one']
    assert [dataset.get_data_info(i)['img_id'] for i in range(7)] == [9, 9, 9, 3, 3, 3, 6]
    # training on all expressions keeps the order of the file
    assert expressions(build(sample, split='val', expression_mode='all'))[2:4] == ['e one', 'f one']


def test_pipeline_end_to_end(sample):
    data = build(sample, pipeline=PIPELINE)[1]
    packed = data['data_samples']
    assert data['inputs'].shape == (3, 24, 40) and data['inputs'].unique().tolist() == [5]
    assert packed.gt_sem_seg.data.shape == (1, 24, 40) and packed.gt_sem_seg.data.dtype == torch.int64
    assert packed.gt_sem_seg.data.sum() == 16 * 8
    assert packed.expression in ('b one', 'b two') and packed.ref_id == 101 and packed.sent_id in (3, 4)


def test_annotations_of_other_images_and_returned_records_stay_apart(sample):
    dataset = build(sample)
    dataset.get_data_info(0)['sentences'].clear()
    dataset.get_data_info(0)['seg_fields'].append('x')
    assert len(dataset.get_data_info(0)['sentences']) == 3 and dataset.get_data_info(0)['seg_fields'] == []


# --- reproducible sampling -------------------------------------------------------------------------------------------


def draws(data):
    return [(d.sample_idx, d.expression, d.sent_id, d.flip) for d in data['data_samples']]


def run(dataset, epochs, workers=0, context=None):
    loader = DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=pseudo_collate,
                        persistent_workers=workers > 0, multiprocessing_context=context)
    result = []
    for epoch in epochs:
        dataset.set_epoch(epoch, seed=3)
        result.append([draw for data in loader for draw in draws(data)])
    return result


@pytest.fixture
def many(write_refer):
    return write_refer([write_refer.ref(n % 3, f'{n} left', f'{n} right', f'{n} top') for n in range(12)])


@pytest.mark.slow
@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_persistent_workers_see_the_same_samples_as_the_main_process(many, context):
    expected = run(build(many, pipeline=PIPELINE), [0, 1, 2])
    assert run(build(many, pipeline=PIPELINE), [0, 1, 2], workers=2, context=context) == expected


def test_epochs_differ_and_a_resumed_run_repeats_them(many):
    epochs = run(build(many, pipeline=PIPELINE), range(8))
    assert len({tuple(e) for e in epochs}) == 8
    assert run(build(many, pipeline=PIPELINE), [5, 6, 7]) == epochs[5:]
    # over the epochs every expression is met: 3 choices, 8 epochs, 12 refs
    assert len({d[2] for e in epochs for d in e}) > 30
    assert {d[3] for e in epochs for d in e} == {True, False}


def test_seed_and_index_matter(many):
    dataset = build(many, pipeline=PIPELINE)
    of_seed = []
    for seed in (0, 1, 2**40):
        dataset.set_epoch(0, seed)
        of_seed.append(tuple(draws(dict(data_samples=[dataset[i]['data_samples']]))[0][2] - 3 * i for i in range(12)))
    assert len(set(of_seed)) == 3 and all(len(set(choice)) > 1 for choice in of_seed)


def draw_everything(results):
    results['numbers'] = (random.random(), np.random.rand(), torch.rand(1).item())
    return results


def test_generators_are_seeded_for_the_record_and_restored_after_it(many):
    dataset = build(many, pipeline=[draw_everything])
    dataset.set_epoch(1, 0)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    first, again = dataset[3]['numbers'], dataset[3]['numbers']
    assert first == again != dataset[4]['numbers']
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_generators_are_restored_when_a_transform_fails(many):
    def fail(results):
        np.random.rand()
        raise RuntimeError('no')

    dataset = build(many, pipeline=[fail])
    dataset.set_epoch(0, 0)
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    with pytest.raises(RuntimeError):
        dataset[0]
    assert np.random.rand() == expected


def test_without_set_epoch_the_generators_are_used_as_they_are(many):
    dataset = build(many, pipeline=[draw_everything])
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    assert dataset[0]['numbers'][1] == expected


# --- subsets and start-up ------------------------------------------------------------------------------------------


@pytest.mark.parametrize('indices,kept', [(2, [0, 1]), (-1, [2]), ([2, 0], [2, 0])])
def test_indices_keep_a_part(sample, indices, kept):
    dataset = build(sample, indices=indices)
    assert [dataset.get_data_info(i)['ref_id'] - 100 for i in range(len(dataset))] == kept
    subset = build(sample, pipeline=PIPELINE).get_subset(indices)
    assert [subset[i]['data_samples'].ref_id - 100 for i in range(len(subset))] == kept


@pytest.mark.parametrize('indices', [4, -4, 0, [3], [-4]])
def test_indices_outside_are_an_error_not_a_shorter_dataset(sample, indices):
    with pytest.raises(ValueError, match=r'split \'train\' has 3 records'):
        build(sample, indices=indices)


def test_subset_has_its_own_shared_epoch(many):
    subset = build(many, pipeline=PIPELINE).get_subset(4)
    assert subset._epoch_and_seed.is_shared()
    subset.set_epoch(0, 0)


def test_lazy_init_touches_no_file(tmp_path):
    dataset = build(tmp_path / 'absent', lazy_init=True)
    assert dataset.metainfo['classes'] == ('background', 'target')
    with pytest.raises(FileNotFoundError):
        dataset.full_init()


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('changes,words', [
    (dict(split='valid'), ['valid', 'train', 'val', 'split']),
    (dict(expression_mode='each'), ['expression_mode', 'random', 'all', 'each']),
    (dict(expression_field='tokens'), ['expression_field', 'raw', 'sent', 'tokens']),
    (dict(on_invalid='ignore'), ['on_invalid', 'raise', 'skip', 'ignore']),
    (dict(split_by='umd'), ['split_by', 'unc', 'google', 'umd']),
    (dict(data_prefix=dict(img='x')), ['data_prefix', 'img_path']),
])
def test_wrong_values_name_the_key_and_the_choices(sample, changes, words):
    with pytest.raises(ValueError) as error:
        build(sample, **changes)
    assert all(word in str(error.value) for word in words)


def test_misspelt_key_is_named(sample):
    with pytest.raises(TypeError, match='splt'):
        build(sample, splt='val')


@pytest.mark.parametrize('changes,key', [
    (dict(data_root='/no/such/folder'), 'data_root'),
    (dict(ann_file='refcoco/instance.json'), 'ann_file'),
    (dict(split_file='refcoco/refs(google).p'), 'split_file'),
    (dict(data_prefix=dict(img_path='images/val2014')), 'data_prefix.img_path'),
    (dict(data_prefix='images/val2014'), 'data_prefix.img_path'),
])
def test_absent_files_name_key_path_and_layout(sample, changes, key):
    with pytest.raises(FileNotFoundError) as error:
        DATASETS.build({**dict(type='RefCOCODataset', data_root=str(sample)), **changes})
    message = str(error.value)
    value = list(changes.values())[0]
    value = value['img_path'] if isinstance(value, dict) else value
    assert f'RefCOCODataset: {key} ' in message and value in message
    assert 'refs(' in message and 'images/' in message  # the layout


def test_base_class_needs_its_files_named():
    with pytest.raises(ValueError, match='split_file'):
        DATASETS.build(dict(type='RISDataset', ann_file='a', data_prefix='b'))


@pytest.fixture
def broken(write_refer):
    """One good ref between one with a two-point polygon and one whose image is deleted."""
    r = write_refer.ref
    root = write_refer([r(1, 'two points', segmentation=[[1, 1, 2, 2]]), r(2, 'good'), r(3, 'no image')])
    (root / 'images/mscoco/images/train2014/3.png').unlink()
    return root


def test_invalid_refs_are_one_error_with_the_fix(broken):
    with pytest.raises(ValueError) as error:
        build(broken)
    message = str(error.value)
    assert '1 of 3 refs' in message and "on_invalid='skip'" in message and '100' in message
    assert 'train' in message and 'refs(unc).p' in message


def test_faults_of_another_split_do_not_matter(write_refer):
    r = write_refer.ref
    root = write_refer([r(1, 'two points', segmentation=[[1, 1, 2, 2]]), r(2, 'good', split='val')])
    assert len(build(root, split='val')) == 1
    with pytest.raises(ValueError, match='1 of 1 refs'):
        build(root)


def test_skip_drops_invalid_refs_and_absent_images_and_counts_them(broken, monkeypatch):
    messages = []
    from mmengine.logging import MMLogger
    monkeypatch.setattr(MMLogger, 'warning', lambda self, message, *args: messages.append(str(message)))
    dataset = build(broken, on_invalid='skip')
    assert expressions(dataset) == ['good']
    assert [m for m in messages if '1 of 3 refs' in m and 'cannot be used' in m]
    assert [m for m in messages if '1 of 3 refs' in m and '3.png' in m]


def test_an_empty_expression_matters_in_the_field_that_is_read(write_refer):
    r = write_refer.ref
    root = write_refer([r(1, 'good', '  '), r(2, 'good')])
    with pytest.raises(ValueError, match='1 of 2 refs.*(?s:.)*is empty'):
        build(root)
    assert expressions(build(root, on_invalid='skip')) == ['good']


def test_an_expression_that_is_empty_in_the_other_field_is_fine(tmp_path, write_refer):
    root = write_refer([write_refer.ref(1, 'good')])
    path = root / 'refcoco/refs(unc).p'
    records = pickle.loads(path.read_bytes())
    records[0]['sentences'][0]['sent'] = ''
    path.write_bytes(pickle.dumps(records))
    assert expressions(build(root)) == ['good']
    with pytest.raises(ValueError, match='1 of 1 refs'):
        build(root, expression_field='sent')


def test_nothing_left_is_an_error(write_refer):
    root = write_refer([write_refer.ref(1, 'two points', segmentation=[[1, 1, 2, 2]])])
    with pytest.raises(ValueError, match='no ref of split \'train\''):
        build(root, on_invalid='skip')


def test_absent_image_raises_when_it_is_loaded(write_refer):
    root = write_refer([write_refer.ref(1, 'one'), write_refer.ref(2, 'two')])
    (root / 'images/mscoco/images/train2014/2.png').unlink()
    dataset = build(root, pipeline=PIPELINE)
    dataset[0]
    with pytest.raises(FileNotFoundError, match=r'2\.png.*ref_id 101.*on_invalid=\'skip\''):
        dataset[1]


@pytest.mark.parametrize('test_mode', [False, True])
def test_pipeline_returning_none_is_an_error_not_another_sample(sample, test_mode):
    dataset = build(sample, pipeline=[lambda results: None], test_mode=test_mode)
    with pytest.raises(ValueError, match=r'returned None for record 1 \(ref_id'):
        dataset[1]


@pytest.mark.parametrize('text', ['homme à côté du café', '左边的人', 'the 🐕 on the left 👍🏽', 'naïve — “dash”'])
def test_expressions_pass_through_unharmed(write_refer, text):
    root = write_refer([write_refer.ref(1, text)])
    pipeline = LOAD + [dict(type='PackReferringInputs')]
    assert build(root, pipeline=pipeline)[0]['data_samples'].expression == text
    assert build(root, pipeline=pipeline, test_mode=True)[0]['data_samples'].expression == text


# --- real data -----------------------------------------------------------------------------------------------------


def test_real_sample(shared_data):
    train = build(shared_data / 'refer', split='testA', pipeline=PIPELINE)
    test = build(shared_data / 'refer', split='testA', pipeline=PIPELINE, test_mode=True)
    assert (len(train), len(test)) == (10, 30)
    images = [test.get_data_info(i)['img_id'] for i in range(30)]
    assert [i for n, i in enumerate(images) if n == 0 or images[n - 1] != i] == list(dict.fromkeys(images))
    for data in train:
        target = data['data_samples'].gt_sem_seg.data
        assert 0 < target.float().mean() < 1 and target.unique().tolist() == [0, 1]
        assert target.shape[1:] == data['inputs'].shape[1:]


def test_all_of_refcoco_validation(shared_data, tmp_path):
    root = shared_data / 'refer_boxes'
    for split, refs, number in (('val', 3811, 10834), ('testA', 1975, 5657), ('testB', 1810, 5095)):
        settings = dict(split=split, data_prefix=str(tmp_path), cache_dir=str(tmp_path))
        assert (len(build(root, **settings)), len(build(root, test_mode=True, **settings))) == (refs, number)
