"""LAVT's decoder against a plain rewrite, and its error messages."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_ris_kd.models.decode_heads import LAVTHead
from mmseg_ris_kd.structures import RISFeatures, TextFeatures

WIDTHS = [4, 8, 16, 32]


def make_features(widths=WIDTHS, batch=2):
    torch.manual_seed(0)
    fused = tuple(torch.randn(batch, width, 24 // 2**i, 16 // 2**i) for i, width in enumerate(widths))
    tokens = torch.randn(batch, 3, 6)
    text = TextFeatures(tokens, torch.ones(batch, 3, dtype=torch.bool), torch.zeros(batch, 3).long(), tokens[:, 0])
    return RISFeatures(visual=fused, text=text, fused=fused)


def randomize(head):
    for name, value in head.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if 'var' in name else torch.randn_like(value) * 0.3)
    return head.eval()


@pytest.mark.parametrize('align_corners', [True, False])
def test_matches_a_plain_rewrite(align_corners):
    head = randomize(LAVTHead(WIDTHS, align_corners=align_corners))
    features = make_features()
    weights = head.state_dict()

    def normalize(i):
        f = features.fused[i]
        centred = (f - f.mean(1, keepdim=True)) / (f.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        scale, shift = weights[f'norms.{i}.weight'], weights[f'norms.{i}.bias']
        return centred * scale[:, None, None] + shift[:, None, None]

    y, decoded = normalize(3), []
    for block, i in enumerate((2, 1, 0)):
        y = F.interpolate(y, size=features.fused[i].shape[2:], mode='bilinear', align_corners=align_corners)
        y = torch.cat([y, normalize(i)], dim=1)
        for j in range(2):
            prefix = f'blocks.{block}.{j}'
            y = F.conv2d(y, weights[f'{prefix}.conv.weight'], padding=1)
            mean, var = weights[f'{prefix}.bn.running_mean'], weights[f'{prefix}.bn.running_var']
            y = (y - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
            y = (y * weights[f'{prefix}.bn.weight'][:, None, None] + weights[f'{prefix}.bn.bias'][:, None, None]).relu()
        decoded.insert(0, y)
    logits = F.conv2d(y, weights['conv_seg.weight'], weights['conv_seg.bias'])

    with torch.no_grad():
        result = head(features)
    torch.testing.assert_close(result.logits, logits, rtol=1e-4, atol=1e-4)
    for mine, expected in zip(result.decoded, decoded):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)
    assert [tuple(d.shape) for d in result.decoded] == [(2, 16, 24, 16), (2, 16, 12, 8), (2, 16, 6, 4)]
    assert result.fused is features.fused and result.text is features.text
    assert features.logits is None  # the record handed in stays as it was


def test_defaults_are_the_published_decoder():
    with torch.device('meta'):
        head = LAVTHead([128, 256, 512, 1024])
    decoder = {name: p for name, p in head.named_parameters() if not name.startswith('norms.')}
    assert sum(p.numel() for p in decoder.values()) == 20651010  # the goldens' third optimizer group
    assert len(decoder) == 20
    assert head.channels == 512 and head.align_corners and head.dropout is None


def test_loss_weights_the_classes():
    head = LAVTHead(WIDTHS).eval()
    features = head(make_features())
    target = (torch.rand(2, 96, 64) > 0.7).long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=t[None])) for t in target]
    full = F.interpolate(features.logits, size=(96, 64), mode='bilinear', align_corners=True)
    probability = full.softmax(1).gather(1, target[:, None])[:, 0]
    weight = torch.where(target == 1, 1.1, 0.9)
    expected = -(weight * probability.log()).sum() / weight.sum()
    losses = head.loss(features, samples)
    assert set(losses) == {'loss_ce'}
    torch.testing.assert_close(losses['loss_ce'], expected)


def test_other_channels_and_one_logit():
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    head = LAVTHead(WIDTHS[:3], 6, out_channels=1, loss_decode=loss).eval()
    result = head(make_features(WIDTHS[:3]))
    assert result.logits.shape == (2, 1, 24, 16) and [d.shape[1] for d in result.decoded] == [6, 6]


def test_features_without_language():
    features = make_features()
    features.fused = ()
    with pytest.raises(ValueError, match='LanguageAwareSwin.*TextConditionedHead'):
        LAVTHead(WIDTHS)(features)


def test_features_of_other_widths():
    with pytest.raises(ValueError, match=r'in_channels=\[4, 8, 16, 32\].*\[4, 8, 16, 64\] channels'):
        LAVTHead(WIDTHS)(make_features([4, 8, 16, 64]))


def test_one_stage_is_too_few():
    with pytest.raises(ValueError, match='at least two stages'):
        LAVTHead([32])
