import hashlib
import json
import pickle

import numpy as np
import pytest
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from PIL import Image

from mmseg_ris_kd.apis import load_config

TRAIN = [
    dict(type='LoadReferringImage'), dict(type='LoadReferringMask', overlap='sum'), dict(type='SampleExpression'),
    dict(type='Resize', scale=(480, 480), keep_ratio=False, backend='pillow'), dict(type='PackReferringInputs')
]


@pytest.fixture
def golden(shared_data):
    folder = shared_data / 'goldens'
    return json.loads((folder / 'transforms.json').read_text()), np.load(folder / 'transforms.npz')


def real_record(shared_data, pipeline, **changes):
    """Packed record of annotation 1224861 on image 40346, which the goldens are about."""
    dataset = DATASETS.build(dict(type='RefCOCODataset', data_root=str(shared_data / 'refer'), split='testA',
                                  pipeline=pipeline, **changes))
    ids = [dataset.get_data_info(i)['ann_id'] for i in range(len(dataset))]
    return dataset[ids.index(1224861)]


@pytest.mark.parametrize('training', [True, False])
def test_480_pixel_input_equals_that_of_lavt(shared_data, golden, training):
    described, arrays = golden
    config = load_config('lavt_swin-b_bert_refcoco')
    data = real_record(shared_data, config.train_dataloader.dataset.pipeline)
    raw = data['inputs']
    assert int(raw.long().sum()) == described['images']['40346']['lavt_resized_uint8_sum']
    preprocessor = MODELS.build(config.model.data_preprocessor)
    inputs = preprocessor(dict(inputs=[raw], data_samples=[data['data_samples']]), training=training)['inputs'][0]
    np.testing.assert_allclose(inputs[:, ::16, ::16].numpy(), arrays['lavt/40346/image'], rtol=0, atol=1e-5)
    record = described['records']['lavt/40346/image']
    assert inputs.mean().item() == pytest.approx(record['mean'], abs=1e-5)
    assert inputs.std(correction=0).item() == pytest.approx(record['std'], abs=1e-5)


def test_480_pixel_target_equals_that_of_lavt(shared_data, golden):
    described, arrays = golden
    pipeline = load_config('lavt_swin-b_bert_refcoco').train_dataloader.dataset.pipeline
    target = real_record(shared_data, pipeline)['data_samples'].gt_sem_seg.data
    assert target.shape == (1, 480, 480)
    assert int(target.sum()) == described['images']['40346']['lavt_mask_sum_480']
    np.testing.assert_array_equal(target[0, ::16, ::16].numpy(), arrays['lavt/40346/mask'])


def test_target_after_the_resize_keeps_the_original_size(shared_data, golden):
    image, mask, sample, resize, pack = TRAIN
    data = real_record(shared_data, [image, resize, mask, sample, pack], test_mode=True)
    assert data['inputs'].shape == (3, 480, 480)
    target = data['data_samples'].gt_sem_seg.data
    expected = golden[0]['images']['40346']
    assert target.shape == (1, expected['height'], expected['width'])
    assert int(target.sum()) == expected['mask_sum_original']
    assert data['data_samples'].ori_shape == (375, 500) and data['data_samples'].img_shape == (480, 480)


def load(path, **record):
    return TRANSFORMS.build(dict(type='LoadReferringImage'))(dict(img_path=str(path), **record))


def test_decoded_pixels_are_those_of_the_golden(shared_data, golden):
    file = shared_data / 'refer/images/mscoco/images/train2014/COCO_train2014_000000040346.jpg'
    rgb = np.ascontiguousarray(load(file)['img'][:, :, ::-1])
    assert hashlib.sha1(rgb.tobytes()).hexdigest() == golden[0]['images']['40346']['decoded_rgb_sha1']


def test_real_grayscale_jpeg_gives_three_channels(shared_data):
    results = load(shared_data / 'coco/images/gray.jpg')
    img = results['img']
    assert img.ndim == 3 and img.shape[2] == 3 and results['ori_shape'] == results['img_shape'] == img.shape[:2]
    assert (img == np.asarray(Image.open(shared_data / 'coco/images/gray.jpg'))[:, :, None]).all()


def test_channels_are_bgr(tmp_path):
    Image.new('RGB', (4, 2), (1, 2, 3)).save(tmp_path / 'a.png')
    assert load(tmp_path / 'a.png')['img'][0, 0].tolist() == [3, 2, 1]


def test_exif_orientation_is_ignored(tmp_path):
    image = Image.new('RGB', (4, 2))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / 'a.jpg', exif=exif)
    assert load(tmp_path / 'a.jpg', height=2, width=4)['ori_shape'] == (2, 4)


def jpeg(path):
    noise = np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path.read_bytes()


@pytest.mark.parametrize('kept', [0, 10, 700, 3000])
def test_truncated_image_is_one_clear_error(tmp_path, kept):
    content = jpeg(tmp_path / 'a.jpg')
    (tmp_path / 'a.jpg').write_bytes(content[:kept])
    with pytest.raises(ValueError, match=rf'a\.jpg.*ref_id 12, img_id 3, {kept} bytes.*cannot be decoded') as error:
        load(tmp_path / 'a.jpg', ref_id=12, img_id=3)
    pickle.loads(pickle.dumps(error.value))  # reaches the main process from a worker


def test_absent_image_names_record_and_fix(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'b\.jpg.*ref_id 12, img_id 3.*data_prefix\.img_path.*on_invalid'):
        load(tmp_path / 'b.jpg', ref_id=12, img_id=3)


def test_image_of_another_size_than_annotated(tmp_path):
    Image.new('RGB', (4, 2)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r'ref_id 9.*2 x 4.*states 4 x 2'):
        load(tmp_path / 'a.png', height=4, width=2, ref_id=9)


def mask(targets, **settings):
    return TRANSFORMS.build(dict(type='LoadReferringMask', **settings))(
        dict(targets=targets, height=10, width=10, seg_fields=[], ref_id=5, ann_id=6))


OVERLAPPING = [[0, 0, 6, 0, 6, 5, 0, 5], [4, 0, 10, 0, 10, 5, 4, 5]]  # two rectangles that share x 4..6


@pytest.mark.parametrize('settings,expected', [({}, 50), (dict(overlap='union'), 50), (dict(overlap='sum'), 40)])
def test_overlapping_parts_are_joined_or_read_as_lavt_does(settings, expected):
    results = mask([OVERLAPPING], **settings)
    assert results['gt_seg_map'].sum() == expected and results['gt_seg_map'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map'] and results['no_target'] is False


def test_no_target_is_an_empty_mask():
    results = mask([])
    assert results['gt_seg_map'].shape == (10, 10) and results['gt_seg_map'].sum() == 0 and results['no_target'] is True


def test_undecodable_mask_names_the_record():
    with pytest.raises(ValueError, match='ref_id 5, ann_id 6.*on_invalid'):
        mask([[[1, 1, 2, 2]]])


def test_unknown_overlap_names_the_choices():
    with pytest.raises(ValueError, match="'union', 'sum'.*'max'"):
        mask([], overlap='max')


def test_mask_after_a_flip_is_refused():
    with pytest.raises(ValueError, match='before the flip'):
        TRANSFORMS.build(dict(type='LoadReferringMask'))(dict(targets=[], height=2, width=2, flip=True))
