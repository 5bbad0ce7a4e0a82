"""Pixel-word attention against a plain rewrite of its equations."""
from __future__ import annotations

import math

import pytest
import torch

from mmseg_ris_kd.models.fusion import PixelWordAttention, instance_norm
from mmseg_ris_kd.structures import TextFeatures


def make_text(batch=2, length=5, channels=6, lengths=(5, 2)):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(batch, length, channels, generator=generator)
    mask = torch.arange(length)[None] < torch.tensor(lengths)[:, None]
    return TextFeatures(tokens, mask, torch.full((batch, length), -1), tokens[:, 0])


def make_visual(batch=2, channels=8, height=3, width=4):
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(2))


def reference(module, visual, text, heads):
    """One sample, one head and one pixel at a time, straight from the equations."""

    def affine(layer, x):  # x: N x C
        return x @ layer.weight.flatten(1).T + layer.bias

    def normalize(x):  # x: P x C, over P
        return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    fused, attentions = [], []
    for b in range(len(visual)):
        x, words = visual[b].flatten(1).T, text.tokens[b]
        m = text.mask[b].float()
        query = normalize(affine(module.query_projection, x))
        key = affine(module.key_projection, words) * m[:, None]
        value = affine(module.value_projection, words) * m[:, None]
        key_width, value_width = key.shape[1] // heads, value.shape[1] // heads
        gathered, maps = [], []
        for h in range(heads):
            keys = slice(h * key_width, (h + 1) * key_width)
            rows = []
            for pixel in query[:, keys]:
                score = (key[:, keys] @ pixel) / math.sqrt(key.shape[1]) + (1e4 * m - 1e4)
                score = (score - score.max()).exp()
                rows.append(score / score.sum())
            maps.append(torch.stack(rows))
            gathered.append(maps[-1] @ value[:, h * value_width:(h + 1) * value_width])
        language = normalize(affine(module.language_projection, torch.cat(gathered, dim=1)))
        vis = gelu(affine(module.visual_projection, x))
        out = gelu(affine(module.output_projection, vis * language))
        fused.append(out.T.reshape(-1, *visual.shape[2:]))
        attentions.append(torch.stack(maps))
    return torch.stack(fused), torch.stack(attentions)


@pytest.mark.parametrize('options', [
    dict(),
    dict(num_heads=4),
    dict(out_channels=4, num_heads=2),
    dict(key_channels=12, value_channels=6, num_heads=3),
])
def test_matches_the_equations(options):
    torch.manual_seed(0)
    module = PixelWordAttention(8, 6, **options).eval()
    visual, text = make_visual(), make_text()
    fused, attention = module(visual, text)
    expected_fused, expected_attention = reference(module, visual, text, options.get('num_heads', 1))
    assert attention.shape == (2, options.get('num_heads', 1), 12, 5)
    torch.testing.assert_close(attention, expected_attention)
    torch.testing.assert_close(fused, expected_fused, rtol=1e-4, atol=1e-5)


def test_padding_tokens_change_nothing():
    module = PixelWordAttention(8, 6).eval()
    visual, text = make_visual(), make_text()
    fused, attention = module(visual, text)
    text.tokens[1, 2:] = 100.
    changed, _ = module(visual, text)
    torch.testing.assert_close(fused, changed)
    assert torch.equal(attention[1, ..., 2:], torch.zeros(1, 12, 3))


def test_rows_with_one_or_no_word_stay_finite():
    module = PixelWordAttention(8, 6)
    visual = make_visual().requires_grad_()
    fused, attention = module(visual, make_text(lengths=(1, 0)))
    fused.square().sum().backward()
    assert torch.equal(attention[0, ..., 0], torch.ones(1, 12))
    torch.testing.assert_close(attention[1], torch.full((1, 12, 5), 0.2))
    assert fused.isfinite().all() and visual.grad.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_softmax_in_float32(dtype):
    if dtype == torch.float16 and torch.__version__ < '2.2':
        pytest.skip('torch 2.1 has no float16 autocast on CPU')
    torch.manual_seed(0)
    module = PixelWordAttention(8, 6).eval()
    visual, text = make_visual(), make_text()
    expected, _ = module(visual, text)
    with torch.autocast('cpu', dtype=dtype):
        fused, attention = module(visual, text)
    assert attention.dtype == torch.float32
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 1, 12))
    assert torch.equal(attention[1, ..., 2:], torch.zeros(1, 12, 3))
    torch.testing.assert_close(fused.float(), expected, rtol=0.1, atol=0.1)


def test_single_pixel_fuses_to_a_constant():
    module = PixelWordAttention(8, 6).train()
    visual = make_visual(height=1, width=1).requires_grad_()
    fused, attention = module(visual, make_text())
    fused.sum().backward()
    expected = torch.nn.functional.gelu(module.output_projection.bias)[None, :, None, None].expand(2, -1, -1, -1)
    torch.testing.assert_close(fused, expected)
    assert all(parameter.grad is not None for parameter in module.parameters())  # distributed training needs them all


def test_instance_norm_is_the_biased_one():
    features = make_visual().double()
    flat = features.flatten(2)
    expected = (flat - flat.mean(2, keepdim=True)) / (flat.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(instance_norm(features), expected.view_as(features))
    half = (features * 300).half()  # its squares overflow float16
    assert instance_norm(half).dtype == torch.float16
    torch.testing.assert_close(instance_norm(half).double(), instance_norm(half.double()), rtol=1e-2, atol=1e-2)


def test_dropout_acts_in_training_only():
    module = PixelWordAttention(8, 6, dropout=0.5)
    visual, text = make_visual(), make_text()
    assert (module(visual, text)[0] == 0).float().mean() > 0.25
    module.eval()
    assert torch.equal(module(visual, text)[0], module(visual, text)[0])


@pytest.mark.parametrize('options, message', [
    (dict(num_heads=3), 'num_heads=3 does not divide key_channels=8'),
    (dict(num_heads=4, value_channels=6), 'does not divide value_channels=6'),
    (dict(num_heads=0), 'num_heads must be at least 1'),
    (dict(dropout=1.), r'dropout must lie in \[0, 1\)'),
])
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        PixelWordAttention(8, 6, **options)


def test_bad_inputs():
    module = PixelWordAttention(8, 6)
    with pytest.raises(ValueError, match='text_channels=6, but the text encoder gives 7'):
        module(make_visual(), make_text(channels=7))
    with pytest.raises(ValueError, match='in_channels=8'):
        module(make_visual(channels=9), make_text())
    with pytest.raises(ValueError, match='3 images, but 2 expressions'):
        module(make_visual(batch=3), make_text())


@pytest.mark.parametrize('heads', [1, 2])
def test_one_image_serves_many_expressions(heads):
    module = PixelWordAttention(8, 6, num_heads=heads)
    visual = make_visual(batch=1)
    fused, attention = module(visual, make_text())
    repeated_fused, repeated_attention = module(visual.repeat(2, 1, 1, 1), make_text())
    torch.testing.assert_close(fused, repeated_fused)
    torch.testing.assert_close(attention, repeated_attention)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_gradient_of_instance_norm_in_every_layout(layout):
    """torch 2.14.1 computes another gradient for a batch when the incoming one has the channels-last layout."""
    features, weights = make_visual(2, 8, 4, 4), make_visual(2, 8, 4, 4).flip(0)

    def gradient(rows):
        x = features[rows].clone().requires_grad_()
        instance_norm(x).backward(weights[rows].clone(memory_format=layout))
        return x.grad

    torch.testing.assert_close(gradient(slice(0, 2)), torch.cat([gradient(slice(0, 1)), gradient(slice(1, 2))]))


def test_gradients_of_a_batch_are_those_of_its_images():
    torch.manual_seed(0)
    module = PixelWordAttention(in_channels=8, text_channels=6, out_channels=8)
    visual, text = make_visual(2, 8, 4, 4), make_text()
    weights = make_visual(2, 8, 4, 4).flip(0)

    def gradient(rows):
        x = visual[rows].clone().requires_grad_()
        words = TextFeatures(text.tokens[rows], text.mask[rows], text.word_ids[rows], text.sentence[rows])
        (module(x, words)[0] * weights[rows]).sum().backward()
        return x.grad

    alone = torch.cat([gradient(slice(0, 1)), gradient(slice(1, 2))])
    torch.testing.assert_close(gradient(slice(0, 2)), alone, rtol=1e-3, atol=1e-4)
