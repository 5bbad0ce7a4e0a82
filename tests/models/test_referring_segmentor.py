"""The segmentor: early and late fusion through the same door, predictions at the original size."""
from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

WORDS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'circle', 'left', 'of', 'the', 'blue', 'square')


@pytest.fixture
def text_encoder(tmp_path) -> dict:
    vocab = tmp_path / 'vocab.txt'
    vocab.write_text('\n'.join(WORDS) + '\n')
    config = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                  hidden_dropout_prob=0., attention_probs_dropout_prob=0.)
    return dict(type='BertExpressionEncoder', config=config, vocab_file=str(vocab), max_length=8)


def late(text_encoder, **options) -> dict:
    return dict(
        type='ReferringSegmentor',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[0.] * 3, std=[255.] * 3, size_divisor=1),
        text_encoder=text_encoder,
        backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, out_indices=(0, 1, 2, 3)),
        decode_head=dict(type='TextConditionedHead', in_channels=(8, 16, 32, 64), channels=8, text_channels=16),
        **options)


def early(text_encoder, **options) -> dict:
    return dict(
        late(text_encoder, **options),
        backbone=dict(type='LanguageAwareSwin', text_channels=16, embed_dims=8, depths=(1, 1, 1, 1),
                      num_heads=(1, 1, 2, 2), window_size=4),
        decode_head=dict(type='LAVTHead', in_channels=(8, 16, 32, 64)))


def build(config: dict):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(config))


def batch(expressions, sizes, *, paths=None, input_size=64) -> dict:
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for i, (expression, size) in enumerate(zip(expressions, sizes)):
        same_image = paths and i and paths[i] == paths[i - 1]
        inputs.append(inputs[-1].clone() if same_image
                      else torch.randint(0, 255, (3, input_size, input_size), generator=generator, dtype=torch.uint8))
        target = torch.rand(1, input_size, input_size, generator=generator) > 0.5
        sample = SegDataSample(gt_sem_seg=PixelData(data=target.long()))
        sample.set_metainfo(dict(expression=expression, ori_shape=size, img_shape=(input_size, input_size),
                                 img_path=paths[i] if paths else f'{i}.png'))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


EXPRESSIONS = ['the red circle', 'blue square left of the red circle']


@pytest.mark.parametrize('kind', [early, late])
def test_trains_and_predicts_at_the_original_size(kind, text_encoder):
    model = build(kind(text_encoder)).train()
    data = model.data_preprocessor(batch(EXPRESSIONS, [(50, 70), (30, 20)]), True)
    losses = model(**data, mode='loss')
    assert set(losses) == {'decode.loss_ce'}
    losses['decode.loss_ce'].backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without  # distributed training would wait for them
    model.eval()
    for sample, size in zip(model.test_step(batch(EXPRESSIONS, [(50, 70), (30, 20)])), [(50, 70), (30, 20)]):
        assert sample.pred_sem_seg.data.shape == (1, *size) and sample.seg_logits.data.shape == (2, *size)
        assert torch.equal(sample.pred_sem_seg.data[0].bool(), sample.seg_logits.data[1] > sample.seg_logits.data[0])


@pytest.mark.parametrize('kind', [early, late])
def test_extract_hands_out_everything(kind, text_encoder):
    model = build(kind(text_encoder)).eval()
    record = model.extract(torch.randn(2, 3, 64, 64), EXPRESSIONS)
    assert len(record.visual) == len(record.fused) == len(record.attention) == 4
    for visual, attention, stride in zip(record.visual, record.attention, (4, 8, 16, 32)):
        assert visual.shape[2:] == (64 // stride, 64 // stride)
        assert attention.shape == (2, 1, (64 // stride)**2, record.text.mask.shape[1])
        torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]))
        assert (attention * ~record.text.mask[:, None, None]).max() == 0
    assert record.logits.shape == (2, 2, 16, 16)


def test_the_expression_matters(text_encoder):
    model = build(late(text_encoder)).eval()
    image = torch.randn(1, 3, 64, 64)
    first, second = (model.extract(image, [expression]).logits for expression in EXPRESSIONS)
    assert (first - second).abs().max() > 1e-3


def test_an_encoded_image_serves_many_expressions(text_encoder):
    model = build(late(text_encoder)).eval()
    image = torch.randn(1, 3, 64, 64)
    together = model.decode(model.encode_image(image), EXPRESSIONS).logits
    for i, expression in enumerate(EXPRESSIONS):
        torch.testing.assert_close(together[i:i + 1], model.extract(image, [expression]).logits, rtol=1e-4, atol=1e-5)


def test_neighbours_of_one_image_share_the_backbone(text_encoder):
    model = build(late(text_encoder)).eval()
    encoded = []
    model.backbone.register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
    expressions, paths = EXPRESSIONS * 2, ['a.png', 'a.png', 'b.png', 'b.png']
    results = model.test_step(batch(expressions, [(40, 40)] * 4, paths=paths))
    assert encoded == [2]
    alone = [model.test_step(batch(expressions[:i + 1], [(40, 40)] * (i + 1), paths=paths[:i + 1]))[-1] for i in (1, 3)]
    for i, sample in zip((1, 3), alone):
        torch.testing.assert_close(results[i].seg_logits.data, sample.seg_logits.data, rtol=1e-4, atol=1e-5)


def test_same_path_with_other_pixels_is_encoded_again(text_encoder):
    model = build(late(text_encoder)).eval()
    encoded = []
    model.backbone.register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
    data = batch(EXPRESSIONS, [(40, 40)] * 2, paths=['a.png', 'a.png'])
    data['inputs'][1] = data['inputs'][1].flip(-1)  # test-time augmentation
    model.test_step(data)
    assert encoded == [2]


def test_padding_is_cut_off_before_the_original_size(text_encoder):
    config = late(text_encoder, test_cfg=dict(keep_input_logits=True))
    config['data_preprocessor']['test_cfg'] = dict(size_divisor=32)
    model = build(config).eval()
    sample, = model.test_step(batch(EXPRESSIONS[:1], [(100, 100)], input_size=50))
    logits = sample.input_seg_logits.data
    assert logits.shape == (2, 50, 50)
    expected = F.interpolate(logits[None], size=(100, 100), mode='bilinear')[0]
    torch.testing.assert_close(sample.seg_logits.data, expected)


def test_early_fusion_has_no_image_features_of_its_own(text_encoder):
    with pytest.raises(TypeError, match='LanguageAwareSwin reads the expression'):
        build(early(text_encoder)).encode_image(torch.zeros(1, 3, 64, 64))


def test_head_without_fused_features_says_so(text_encoder):
    config = dict(late(text_encoder), decode_head=early(text_encoder)['decode_head'])
    with pytest.raises(ValueError, match='use a language-aware backbone'):
        build(config).eval().extract(torch.zeros(1, 3, 64, 64), ['red circle'])


def test_samples_without_expression(text_encoder):
    model = build(late(text_encoder)).eval()
    data = batch(EXPRESSIONS, [(40, 40)] * 2)
    del data['data_samples'][1].expression
    with pytest.raises(ValueError, match=r'samples \[1\].*SampleExpression'):
        model.test_step(data)
    with pytest.raises(ValueError, match='needs data_samples'):
        model(torch.zeros(1, 3, 64, 64), mode='tensor')


def test_unknown_test_cfg(text_encoder):
    with pytest.raises(ValueError, match=r"unknown keys \['mode'\] in model.test_cfg"):
        build(late(text_encoder, test_cfg=dict(mode='whole')))


def test_missing_pretrained_weights_are_one_clear_error(text_encoder, tmp_path):
    config = late(text_encoder)
    config['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(tmp_path / 'absent.pth'))
    with pytest.raises(FileNotFoundError, match='absent.pth') as error:
        build(config).init_weights()
    for way_on in (' set model.backbone.init_cfg.checkpoint to', ' set model.backbone.init_cfg=None.'):
        assert way_on in str(error.value)
    assert error.value.__suppress_context__


@pytest.mark.parametrize('kind', [early, late])
def test_backbone_weights_of_another_model_are_an_error(kind, text_encoder, tmp_path):
    config = kind(text_encoder)
    torch.save({'visual.weight': torch.zeros(1)}, tmp_path / 'foreign.pth')
    config['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(tmp_path / 'foreign.pth'))
    with pytest.raises(ValueError, match=r'foreign.pth \(model.backbone.init_cfg.checkpoint\) lacks'):
        build(config).init_weights()


@pytest.mark.parametrize('kind', [early, late])
def test_backbone_weights_are_loaded(kind, text_encoder, tmp_path):
    config = kind(text_encoder)
    weights = {name: value + 1 if value.is_floating_point() else value
               for name, value in build(config).backbone.state_dict().items() if not name.startswith('fusions.')}
    torch.save(weights, tmp_path / 'backbone.pth')
    config['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))
    model = build(config)
    model.init_weights()
    assert all(torch.equal(model.backbone.state_dict()[name], value) for name, value in weights.items())


def test_initialization_keeps_the_text_encoder(text_encoder):
    model = build(late(text_encoder))
    before = copy.deepcopy(model.text_encoder.state_dict())
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.text_encoder.state_dict().items())
