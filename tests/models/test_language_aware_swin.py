"""The language-aware Swin: its record, its initialization, its freezing and its size."""
from __future__ import annotations

import pytest
import torch
from mmseg.models.backbones.swin import SwinTransformer

from mmseg_ris_kd.models.backbones import LanguageAwareSwin
from mmseg_ris_kd.models.decode_heads import LAVTHead
from mmseg_ris_kd.structures import RISFeatures, TextFeatures

NANO = dict(embed_dims=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=4)


def make_text(batch=2, length=5, channels=6):
    tokens = torch.randn(batch, length, channels, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(length)[None] < torch.tensor([length, 2])[:batch, None]
    return TextFeatures(tokens, mask, torch.full((batch, length), -1), tokens[:, 0])


def make_images(size=(64, 96)):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))


def save(state_dict, path):
    torch.save(dict(state_dict=state_dict), path)
    return dict(type='Pretrained', checkpoint=str(path))


def test_record():
    text = make_text()
    features = LanguageAwareSwin(6, (1, 2, 4, 8), **NANO).eval()(make_images(), text)
    assert isinstance(features, RISFeatures) and features.text is text
    sizes = [(8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3)]
    assert [tuple(v.shape[1:]) for v in features.visual] == sizes
    assert [tuple(f.shape[1:]) for f in features.fused] == sizes
    assert [tuple(a.shape) for a in features.attention] == [
        (2, heads, height * width, 5) for heads, (_, height, width) in zip((1, 2, 4, 8), sizes)]
    assert features.logits is None and features.decoded == ()


def test_closed_gates_give_the_plain_swin(tmp_path):
    """Without language on the main path, V_i are the stage outputs of mmseg's Swin, before its output norms."""
    torch.manual_seed(0)
    plain = SwinTransformer(**NANO)
    plain.eval()  # mmseg's Swin returns None here
    for i in range(4):
        setattr(plain, f'norm{i}', torch.nn.Identity())
    backbone = LanguageAwareSwin(6, **NANO, init_cfg=save(plain.state_dict(), tmp_path / 'swin.pth')).eval()
    backbone.init_weights()
    with torch.no_grad():
        for gate in backbone.gates:
            gate[2].weight.zero_()
        visual = backbone(make_images(), make_text()).visual
        for mine, theirs in zip(visual, plain(make_images())):
            torch.testing.assert_close(mine, theirs)


def test_language_reaches_the_next_stage_only():
    backbone = LanguageAwareSwin(6, **NANO).eval()
    text, other = make_text(), make_text()
    other.tokens = other.tokens.flip(1)
    with torch.no_grad():
        first, second = backbone(make_images(), text).visual, backbone(make_images(), other).visual
    assert torch.equal(first[0], second[0])
    assert all(not torch.equal(a, b) for a, b in zip(first[1:], second[1:]))


def test_every_trainable_parameter_gets_a_gradient():
    backbone = LanguageAwareSwin(6, **NANO)
    head = LAVTHead([8, 16, 32, 64])
    head(backbone(make_images(), make_text())).logits.square().sum().backward()
    without = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    frozen = [name for name, p in backbone.named_parameters() if not p.requires_grad]
    assert frozen == ['gates.3.0.weight', 'gates.3.2.weight']


def test_checkpointing_changes_no_gradient():
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = LanguageAwareSwin(6, **NANO, with_cp=with_cp, drop_path_rate=0.)
        sum(f.square().sum() for f in backbone(make_images(), make_text()).fused).backward()
        gradients.append(backbone.stages[0].blocks[0].attn.w_msa.qkv.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_pretrained_weights_of_another_window_size_are_interpolated(tmp_path):
    torch.manual_seed(0)
    source = SwinTransformer(**{**NANO, 'window_size': 7})
    table = 'stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    with torch.no_grad():
        source.get_parameter(table).fill_(0.5)
    state = {f'backbone.{key}': value for key, value in source.state_dict().items()
             if not key.endswith('relative_position_index')}
    backbone = LanguageAwareSwin(6, **NANO, init_cfg=save(state, tmp_path / 'swin.pth'))
    gate = backbone.gates[0][0].weight.clone()
    backbone.init_weights()
    torch.testing.assert_close(backbone.get_parameter(table), torch.full((49, 1), 0.5))
    qkv = 'stages.2.blocks.1.attn.w_msa.qkv.weight'
    assert torch.equal(backbone.get_parameter(qkv), source.get_parameter(qkv))
    assert torch.equal(backbone.gates[0][0].weight, gate)


def test_from_scratch_leaves_fusion_and_gates_alone():
    backbone = LanguageAwareSwin(6, **NANO)
    before = {name: value.clone() for name, value in backbone.named_parameters()}
    backbone.init_weights()
    changed = {name for name, value in backbone.named_parameters() if not torch.equal(before[name], value)}
    assert changed and all(name.startswith('stages.') for name in changed)


def test_missing_pretrained_weights(tmp_path):
    checkpoint = str(tmp_path / 'absent.pth')
    backbone = LanguageAwareSwin(6, **NANO, init_cfg=dict(type='Pretrained', checkpoint=checkpoint))
    with pytest.raises(FileNotFoundError) as error:
        backbone.init_weights()
    for part in ('backbone (LanguageAwareSwin)', checkpoint, 'backbone.init_cfg.checkpoint', 'init_cfg=None'):
        assert part in str(error.value)


def test_pretrained_weights_of_another_model(tmp_path):
    deeper = LanguageAwareSwin(6, **{**NANO, 'depths': (2, 2, 4, 2)},
                               init_cfg=save(SwinTransformer(**NANO).state_dict(), tmp_path / 'swin.pth'))
    with pytest.raises(ValueError, match=r'swin.pth .*lacks .* the first being stages.2.blocks.2'):
        deeper.init_weights()
    with pytest.raises(ValueError, match='type=.Pretrained.'):
        LanguageAwareSwin(6, **NANO, init_cfg=dict(type='Xavier')).init_weights()


def test_frozen_stages_keep_fusion_trainable():
    backbone = LanguageAwareSwin(6, **NANO, frozen_stages=1).train()
    assert backbone.eval() is backbone and backbone.train() is backbone  # mmseg's Swin returns None
    trainable = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert not any(name.startswith(('patch_embed.', 'stages.0.')) for name in trainable)
    assert {'fusions.0.query_projection.weight', 'gates.0.0.weight', 'stages.1.blocks.0.norm1.weight'} <= trainable
    assert not backbone.stages[0].training and backbone.stages[1].training


def test_per_stage_arguments_must_agree():
    with pytest.raises(ValueError, match='one number per stage.*fusion_heads'):
        LanguageAwareSwin(6, (1, 1, 1), **NANO)


def test_full_size():
    """LAVT's README: 118.85 M parameters beside BERT; the goldens: the exact number, the last gate included."""
    backbone = LanguageAwareSwin(768, embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=12)
    with torch.device('meta'):
        head = LAVTHead([128, 256, 512, 1024])
    total = sum(p.numel() for module in (backbone, head) for p in module.parameters())
    assert total == pytest.approx(118.85e6, rel=1e-3)
    assert total == 258296 + 97938560 + 20651010
