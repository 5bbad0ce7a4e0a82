"""The late-fusion head: shapes, the top-down sum, and one image for many expressions."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_ris_kd.models.decode_heads import TextConditionedHead
from mmseg_ris_kd.structures import RISFeatures, TextFeatures

WIDTHS, SIZES = (4, 6, 8, 10), (16, 8, 4, 2)


def make_text(batch=2, length=5, channels=7):
    tokens = torch.randn(batch, length, channels, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(length)[None] < torch.tensor([length, 3])[:batch, None]
    return TextFeatures(tokens, mask, torch.full((batch, length), -1), tokens[:, 0])


def make_features(batch=2, text=None):
    generator = torch.Generator().manual_seed(1)
    visual = tuple(torch.randn(batch, c, s, s, generator=generator) for c, s in zip(WIDTHS, SIZES))
    return RISFeatures(visual=visual, text=text or make_text())


def make_head(**options):
    torch.manual_seed(0)
    return TextConditionedHead(WIDTHS, 12, text_channels=7, **options)


def make_samples(size=(32, 32)):
    targets = (torch.rand(2, *size, generator=torch.Generator().manual_seed(2)) > 0.7).long()
    return [SegDataSample(gt_sem_seg=PixelData(data=target[None])) for target in targets], targets


@pytest.mark.parametrize('out_channels', [1, 2])
def test_fills_the_record(out_channels):
    features = make_features()
    record = make_head(out_channels=out_channels)(features)
    assert record.visual is features.visual and record.text is features.text
    for fused, attention, decoded, size in zip(record.fused, record.attention, record.decoded, SIZES):
        assert fused.shape == decoded.shape == (2, 12, size, size)
        assert attention.shape == (2, 1, size * size, 5)
    assert record.logits.shape == (2, out_channels, 16, 16)


def test_decodes_top_down_by_the_equation():
    head = make_head(align_corners=True).eval()
    record = head(make_features())
    y = None
    for i in (3, 2, 1, 0):
        x = head.laterals[i](record.visual[i]) + record.fused[i]
        if y is not None:
            x = x + F.interpolate(y, size=SIZES[i], mode='bilinear', align_corners=True)
        scale, shift = head.modulations[i](record.text.sentence).split(12, dim=1)
        y = F.relu(torch.einsum('bchw,bc->bchw', head.convs[i](x), 1 + scale) + shift[..., None, None])
        torch.testing.assert_close(record.decoded[i], y)
    torch.testing.assert_close(record.logits, head.conv_seg(y))


def test_one_image_serves_many_expressions():
    head, text = make_head().eval(), make_text()
    one = make_features(batch=1, text=text)
    repeated = RISFeatures(visual=tuple(v.repeat(2, 1, 1, 1) for v in one.visual), text=text)
    torch.testing.assert_close(head(one).logits, head(repeated).logits)


def test_padding_tokens_change_nothing():
    head, text = make_head().eval(), make_text()
    noisy = TextFeatures(text.tokens.clone(), text.mask, text.word_ids, text.sentence)
    noisy.tokens[~text.mask] = 100.
    torch.testing.assert_close(head(make_features(text=noisy)).logits, head(make_features(text=text)).logits)


def test_every_parameter_gets_a_gradient():
    head = make_head()
    samples, _ = make_samples()
    sum(head.loss(head(make_features()), samples).values()).backward()
    # a bias right before an instance norm is subtracted again, and so is a key's bias by the softmax over words
    lost = ('query_projection.bias', 'language_projection.bias', 'key_projection.bias')
    silent = [name for name, p in head.named_parameters() if p.grad is None]
    assert not silent
    assert all(p.grad.abs().sum() > 0 for name, p in head.named_parameters() if not name.endswith(lost))


def test_mask_loss_is_cross_entropy_at_the_size_of_the_target():
    head = make_head()
    samples, targets = make_samples()
    record = head(make_features())
    losses = head.loss(record, samples)
    expected = F.cross_entropy(F.interpolate(record.logits, size=(32, 32), mode='bilinear'), targets)
    assert list(losses) == ['loss_ce']
    torch.testing.assert_close(losses['loss_ce'], expected)


def test_one_logit_channel_with_binary_cross_entropy():
    head = make_head(out_channels=1, threshold=0.35, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
    samples, targets = make_samples()
    record = head(make_features())
    expected = F.binary_cross_entropy_with_logits(
        F.interpolate(record.logits, size=(32, 32), mode='bilinear')[:, 0], targets.float())
    torch.testing.assert_close(head.loss(record, samples)['loss_ce'], expected)
    mask = head.predict_mask(record.logits)
    assert mask.dtype == torch.uint8 and mask.shape == (2, 16, 16)
    assert torch.equal(mask.bool(), record.logits[:, 0].sigmoid() > 0.35)


def test_two_logit_channels_predict_by_argmax():
    logits = torch.tensor([[0., 3.], [2., -1.]]).view(2, 2, 1, 1)
    assert make_head().predict_mask(logits).flatten().tolist() == [1, 0]


@pytest.mark.parametrize('options, message', [
    (dict(out_channels=3), 'out_channels must be 1 .* but got 3'),
    (dict(out_channels=1, threshold=1.5), 'threshold is a probability .* but got 1.5'),
])
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make_head(**options)


def test_another_backbone_is_named():
    features = make_features()
    features.visual = features.visual[:3]
    with pytest.raises(ValueError, match=r'in_channels is \[4, 6, 8, 10\], but .* \[4, 6, 8\] channels'):
        make_head()(features)
