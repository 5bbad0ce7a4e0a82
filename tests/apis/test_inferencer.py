"""Inference by config name or path: any image, any number of expressions."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from PIL import Image

from mmseg_ris_kd.apis import ReferringInferencer, ReferringPrediction, inference_model, load_config

EXPRESSIONS = ['the red circle', 'blue square on the left']
CONFIG = 'r18-slim_bert-tiny_refshapes'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A vocabulary, a config that uses it, a checkpoint with random weights, and an image."""
    root = tmp_path_factory.mktemp('inference')
    words = '[PAD] [UNK] [CLS] [SEP] [MASK] the red circle blue square on left'.split()
    (root / 'vocab.txt').write_text('\n'.join(words) + '\n')
    base = load_config(CONFIG).filename
    (root / 'mine.py').write_text(
        f"_base_ = '{base}'\nmodel = dict(text_encoder=dict(vocab_file='{root}/vocab.txt'))\n")
    torch.manual_seed(0)
    model = MODELS.build(load_config(str(root / 'mine.py')).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), root / 'model.pth')
    pixels = np.random.RandomState(0).randint(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / 'image.png')
    Image.fromarray(pixels[..., 0]).save(root / 'gray.png')
    return root


@pytest.fixture(scope='module')
def inferencer(folder):
    return ReferringInferencer(str(folder / 'mine.py'), str(folder / 'model.pth'), device='cpu')


def test_one_prediction_per_expression_at_the_size_of_the_image(inferencer, folder):
    predictions = inferencer(folder / 'image.png', EXPRESSIONS)
    assert [prediction.expression for prediction in predictions] == EXPRESSIONS
    for prediction in predictions:
        assert prediction.mask.shape == prediction.probability.shape == (50, 70) and prediction.mask.dtype == bool
        assert np.array_equal(prediction.mask, prediction.probability > 0.5)
    assert not np.allclose(predictions[0].probability, predictions[1].probability)


def test_a_prediction_prints_in_one_line():
    mask = np.zeros((4, 6), bool)
    mask[:2, :3] = True
    prediction = ReferringPrediction('the dog', mask, mask.astype(np.float32))
    assert repr([prediction]) == "[ReferringPrediction('the dog', mask 4 x 6, 25.0 % inside)]"


def test_alone_or_together_from_a_path_or_an_array(inferencer, folder):
    together = inferencer(folder / 'image.png', EXPRESSIONS)
    one_by_one = inferencer(folder / 'image.png', EXPRESSIONS, batch_size=1)
    np.testing.assert_allclose(one_by_one[1].probability, together[1].probability, atol=1e-5)
    pixels = np.array(Image.open(folder / 'image.png'))
    for i, expression in enumerate(EXPRESSIONS):
        alone, = inferencer(pixels, expression)
        np.testing.assert_allclose(alone.probability, together[i].probability, atol=1e-5)


def test_equals_the_pipeline_of_the_dataset(inferencer, folder):
    """The same pixels through LoadReferringImage, as in tools/test.py."""
    from mmcv.transforms import Compose
    from mmengine.dataset import pseudo_collate
    from mmseg.registry import TRANSFORMS
    steps = [s for s in inferencer.config.test_dataloader.dataset.pipeline if s['type'] != 'LoadReferringMask']
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    data = pipeline(dict(img_path=str(folder / 'image.png'), sentences=[dict(sent_id=0, text=EXPRESSIONS[0])]))
    expected, = inferencer.model.test_step(pseudo_collate([data]))
    predicted, = inferencer(folder / 'image.png', EXPRESSIONS[0])
    np.testing.assert_allclose(predicted.probability, expected.seg_logits.data.softmax(0)[1].detach(), atol=1e-5)


def test_gray_images_and_pictures(inferencer, folder, tmp_path):
    predictions = inferencer(folder / 'gray.png', EXPRESSIONS)
    inferencer.show(folder / 'gray.png', predictions, tmp_path / 'sheet.png')
    assert Image.open(tmp_path / 'sheet.png').size[0] > 300


@pytest.mark.parametrize('image, expressions, error, message', [
    ('absent.png', 'red circle', FileNotFoundError, "no image.*absent.png"),
    ('model.pth', 'red circle', ValueError, 'model.pth cannot be read as an image'),
    ('image.png', [], ValueError, 'at least one expression'),
    ('image.png', ['red circle', '  '], ValueError, "expression 1 is '  '"),
])
def test_bad_input(inferencer, folder, image, expressions, error, message):
    with pytest.raises(error, match=message):
        inferencer(folder / image, expressions)


def test_bad_array(inferencer):
    with pytest.raises(ValueError, match=r'RGB with shape \(H, W, 3\).*float64'):
        inferencer(np.zeros((4, 4, 3)), 'red circle')


def test_unknown_model(folder):
    with pytest.raises(FileNotFoundError, match='r18_bert-mini_refcoco'):
        ReferringInferencer('r18_bert-mini_refcocooo', str(folder / 'model.pth'))


def test_architecture_without_downloads():
    model = inference_model(load_config('r18_bert-mini_refcoco').model)
    assert 'init_cfg' not in model['backbone'] and model['text_encoder']['load_weights'] is False
    assert load_config('r18_bert-mini_refcoco').model.backbone.init_cfg.type == 'Pretrained'  # the config is untouched
