import pytest
from mmseg.registry import DATASETS

BOX = [[4, 4, 20, 4, 20, 12, 4, 12]]


@pytest.mark.parametrize('name,settings,folder,split_file,images', [
    ('RefCOCODataset', {}, 'refcoco', 'refs(unc).p', 'images/mscoco/images/train2014'),
    ('RefCOCODataset', dict(split_by='google'), 'refcoco', 'refs(google).p', 'images/mscoco/images/train2014'),
    ('RefCOCOPlusDataset', {}, 'refcoco+', 'refs(unc).p', 'images/mscoco/images/train2014'),
    ('RefCOCOgDataset', {}, 'refcocog', 'refs(umd).p', 'images/mscoco/images/train2014'),
    ('RefCOCOgDataset', dict(split_by='google'), 'refcocog', 'refs(google).p', 'images/mscoco/images/train2014'),
    ('GRefCOCODataset', {}, 'grefcoco', 'grefs(unc).json', 'images/mscoco/images/train2014'),
    ('RefClefDataset', {}, 'refclef', 'refs(unc).p', 'images/saiapr_tc-12'),
    ('RefClefDataset', dict(split_by='berkeley'), 'refclef', 'refs(berkeley).p', 'images/saiapr_tc-12'),
])
def test_data_root_and_split_are_enough(write_refer, name, settings, folder, split_file, images):
    r = write_refer.ref
    root = write_refer([r(1, 'one'), r(2, 'two', split='val')], folder, split_file, images)
    dataset = DATASETS.build(dict(type=name, data_root=str(root), split='val', **settings))
    assert len(dataset) == 1
    info = dataset.get_data_info(0)
    assert info['img_path'] == str(root / images / '2.png') and info['dataset'] == folder


def test_several_and_no_targets(write_refer):
    """gRefCOCO: an expression refers to two annotations (their union) or to none (an empty mask)."""
    other = [[30, 0, 40, 0, 40, 5, 30, 5]]
    r = write_refer.ref
    root = write_refer([
        r(1, 'both', ann_id=[1000, 1001]), r(1, 'that', ann_id=[1001], segmentation=other), r(1, 'nothing', ann_id=[-1])
    ], 'grefcoco', 'grefs(unc).json')
    pipeline = [dict(type='LoadReferringImage'), dict(type='LoadReferringMask'), dict(type='SampleExpression'),
                dict(type='PackReferringInputs')]
    both, that, nothing = DATASETS.build(dict(type='GRefCOCODataset', data_root=str(root), pipeline=pipeline))
    assert [int(d['data_samples'].gt_sem_seg.data.sum()) for d in (both, that, nothing)] == [128 + 50, 50, 0]
    assert [d['data_samples'].no_target for d in (both, that, nothing)] == [False, False, True]
    assert both['data_samples'].ann_id == [1000, 1001]


def test_misspelt_key_is_named(write_refer):
    root = write_refer([write_refer.ref(1, 'one')])
    with pytest.raises(TypeError, match='expresion_mode'):
        DATASETS.build(dict(type='RefCOCODataset', data_root=str(root), expresion_mode='all'))


def test_a_split_by_that_does_not_exist_names_the_choices():
    with pytest.raises(ValueError, match=r"RefCOCOgDataset: split_by must be .*'umd', 'google'.*got 'unc'"):
        DATASETS.build(dict(type='RefCOCOgDataset', split_by='unc'))


def test_real_plus_sample(shared_data):
    settings = dict(type='RefCOCOPlusDataset', data_root=str(shared_data / 'refer'), split='testA')
    assert len(DATASETS.build(settings)) == 10
    assert len(DATASETS.build(dict(settings, test_mode=True))) == 27
