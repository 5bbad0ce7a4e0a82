"""The whole LAVT against numbers that the published implementation gave, see goldens/README.md in the shared data."""
from __future__ import annotations

import gzip
import importlib.util
import json

import numpy as np
import pytest
import torch
from lavt_reference import lavt_logits
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_ris_kd.engine.optimizers import RISOptimWrapperConstructor
from mmseg_ris_kd.models.backbones import LanguageAwareSwin
from mmseg_ris_kd.models.conversion import lavt_entries, recognise
from mmseg_ris_kd.models.decode_heads import LAVTHead
from mmseg_ris_kd.models.fusion import instance_norm
from mmseg_ris_kd.structures import TextFeatures

VARIANTS = ['lavt_nano_w7', 'lavt_nano_w12', 'lavt_nano_w7_mha4444', 'lavt_nano_w7_one']
NO_DECAY = ('backbone.patch_embed.norm', '.norm1', '.norm2', '.downsample.norm', 'relative_position_bias_table',
            'decode_head.norms')


class NanoLAVT(nn.Module):
    """The goldens' nano model, under the names of a ``ReferringSegmentor``."""

    def __init__(self, window_size: int, fusion_heads: list):
        from transformers import BertConfig, BertModel
        super().__init__()
        self.text_encoder = nn.Module()
        self.text_encoder.model = BertModel(
            BertConfig(hidden_size=768, num_hidden_layers=2, num_attention_heads=12, intermediate_size=512,
                       vocab_size=30522), add_pooling_layer=False)
        self.backbone = LanguageAwareSwin(
            768, fusion_heads, embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=window_size,
            drop_path_rate=0.3)
        self.decode_head = LAVTHead([32, 64, 128, 256])

    def forward(self, inputs, ids, mask):
        tokens = self.text_encoder.model(ids, attention_mask=mask).last_hidden_state
        text = TextFeatures(tokens, mask.bool(), torch.full_like(ids, -1), tokens[:, 0])
        return self.decode_head(self.backbone(inputs, text))


class Golden:
    """A nano model with the recipe's weights and inputs, and what it should give."""

    def __init__(self, folder, name: str):
        spec = importlib.util.spec_from_file_location('golden_recipe', folder / 'recipe.py')
        self.name = name
        self.recipe = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.recipe)
        self.arrays = dict(np.load(folder / f'{name}.npz'))
        description = json.loads((folder / f'{name}.json').read_text())
        self.records = description['records']
        self.noise = self.records['float64_logits_max_abs_diff']['value']
        config = description['config']
        self.size = config['input_size']
        self.fusion_heads = config['num_heads_fusion']
        self.model = NanoLAVT(config['window_size'], self.fusion_heads).eval()
        keys = json.loads(gzip.decompress((folder / f'{name}.keys.json.gz').read_bytes()))
        built = self.model.state_dict()
        self.published = {part: self._weights(part, entries, built) for part, entries in keys.items()}
        published = recognise(self.published)
        assert published.kind == ('lavt_one' if name.endswith('one') else 'lavt')
        assert published.architecture == dict(
            embed_dims=32, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], window_size=config['window_size'])
        state_dict, missing, unknown, left_out = published.convert()
        assert not missing and not unknown and not left_out
        self.model.load_state_dict(state_dict, strict=True)
        ids, mask = self.recipe.bert_tokens(2, 20)
        self.inputs = (torch.from_numpy(self.recipe.image(2, self.size, self.size)), torch.from_numpy(ids),
                       torch.from_numpy(mask))
        self.target = torch.from_numpy(self.recipe.target(2, self.size, self.size).astype('int64'))

    def entries(self) -> dict:
        names = list(self.published['model']) + [f'text_encoder.{key}' for key in self.published.get('bert_model', ())]
        return {entry.published: entry for entry in lavt_entries(dict.fromkeys(names))}

    def _weights(self, part, entries, built) -> dict:
        prefix = 'text_encoder.' if part == 'bert_model' else ''
        ours = {entry.published: entry.name for entry in lavt_entries({prefix + name: 0 for name, _, _ in entries})}
        state = {}
        for name, shape, dtype in entries:
            if dtype == 'float32':
                state[name] = torch.from_numpy(self.recipe.weight(name, tuple(shape)))
            else:
                state[name] = built[ours[prefix + name]]
                assert list(state[name].shape) == shape
        return state

    def published_gradient(self, name: str):
        """Gradient of one parameter, by its published name and in its published layout."""
        entry = self.entries()[name.replace('bert:', 'text_encoder.')]
        gradient = self.model.get_parameter(entry.name).grad
        if entry.layout == 'merge' and gradient is not None:
            # index c * 4 + 2 * dy + dx here is (2 * dx + dy) * C + c there
            width = gradient.shape[-1] // 4
            order = [c * 4 + 2 * dy + dx for dx in (0, 1) for dy in (0, 1) for c in range(width)]
            gradient = gradient[..., order]
        return gradient

    def loss(self, logits):
        samples = [SegDataSample(gt_sem_seg=PixelData(data=target[None])) for target in self.target]
        features = type('Record', (), dict(logits=logits))
        return self.model.decode_head.loss(features, samples)['loss_ce']


@pytest.fixture(scope='module', params=VARIANTS)
def golden(request, shared_data):
    return Golden(shared_data / 'goldens', request.param)


def _tokens(feature):
    return feature.flatten(2).transpose(1, 2)  # B x C x H x W -> B x HW x C, the goldens' layout


def _intermediates(model: NanoLAVT, inputs) -> dict:
    """Run the model once and return its features under the goldens' names."""
    seen, handles = {}, []

    def record(name, module, change=lambda output: output):
        handles.append(module.register_forward_hook(lambda _, __, output: seen.update({name: change(output)})))

    bert = model.text_encoder.model
    record('text/embeddings', bert.embeddings)
    record('text/layer0', bert.encoder.layer[0], lambda out: out[0] if isinstance(out, tuple) else out)
    record('patch_embed', model.backbone.patch_embed,
           lambda out: out[0].transpose(1, 2).unflatten(2, out[1]))
    for i, stage in enumerate(model.backbone.stages):
        for j, block in enumerate(stage.blocks):
            record(f'stage{i}/block{j}', block)
        record(f'stage{i}/lang_att', model.backbone.fusions[i].language_projection,
               lambda out: _tokens(instance_norm(out)))
        record(f'stage{i}/norm', model.decode_head.norms[i], lambda out: out.flatten(1, 2))
        if stage.downsample is not None:
            handles.append(stage.downsample.register_forward_pre_hook(
                lambda _, args, i=i: seen.update({f'stage{i}/gated': args[0]})))
            record(f'stage{i}/downsampled', stage.downsample, lambda out: out[0])
    features = model(*inputs)
    for handle in handles:
        handle.remove()
    seen['text/last_hidden_state'] = features.text.tokens
    for i in range(4):
        seen[f'stage{i}/attn_words'] = features.attention[i]
        seen[f'stage{i}/fusion'] = _tokens(features.fused[i])
    # the last gate leads nowhere and is not run
    last = features.visual[3] + model.backbone.gates[3](features.fused[3]) * features.fused[3]
    seen['stage3/gated'] = _tokens(last)
    for i, decoded in enumerate(features.decoded):
        seen[f'decoder/relu2_{i + 2}'] = decoded
    seen['decoder/out'] = features.logits
    return seen


@torch.no_grad()
def test_features_and_logits(golden):
    seen = _intermediates(golden.model, golden.inputs)
    expected = {name[len('feat/'):]: array for name, array in golden.arrays.items() if name.startswith('feat/')}
    assert set(seen) == set(expected)
    for name, array in expected.items():
        assert list(seen[name].shape) == golden.records[f'feat/{name}']['shape'], name
        np.testing.assert_allclose(golden.recipe.feature_slice(seen[name].numpy()), array, rtol=1e-5, atol=1.5e-4,
                                   err_msg=name)
        difference = np.abs(golden.recipe.feature_slice(seen[name].numpy()) - array).max()
        assert difference < 5e-5 * np.abs(array).max(), name
    logits = nn.functional.interpolate(
        seen['decoder/out'], size=(golden.size, golden.size), mode='bilinear', align_corners=True)
    # float32 against float32: both are about this far from the exact value
    np.testing.assert_allclose(logits[..., ::8, ::8].numpy(), golden.arrays['logits'], rtol=0, atol=3 * golden.noise)
    foreground = logits.argmax(1).double().mean().item()
    assert foreground == pytest.approx(golden.records['fg_fraction']['value'], abs=3 / logits[:, 0].numel())


@torch.no_grad()
def test_the_reference_of_the_full_size_test(golden):
    """lavt_reference.py gives the goldens too, so that what equals it elsewhere equals the original."""
    images, ids, mask = golden.inputs
    words = golden.model.text_encoder.model(ids, attention_mask=mask).last_hidden_state
    logits = lavt_logits(golden.published['model'], images, words, mask, fusion_heads=golden.fusion_heads)
    logits = nn.functional.interpolate(logits, size=(golden.size, ) * 2, mode='bilinear', align_corners=True)
    np.testing.assert_allclose(logits[..., ::8, ::8].numpy(), golden.arrays['logits'], rtol=0, atol=3 * golden.noise)


def test_loss_and_gradients(golden):
    """In float64; the float32 goldens are up to 1e-3 (in units of the norm) off where rounding flipped a ReLU."""
    tolerance = 3e-6 if golden.name == 'lavt_nano_w7' else 1e-3
    golden.model.double().zero_grad()
    images, *words = golden.inputs
    loss = golden.loss(golden.model(images.double(), *words).logits)
    loss.backward()
    assert loss.item() == pytest.approx(golden.records['loss']['value'], abs=2e-7)
    names = [key[len('grad/'):] for key in golden.records if key.startswith('grad/')]
    assert len(names) > 10
    for name in names:
        gradient, record = golden.published_gradient(name), golden.records[f'grad/{name}']
        if record.get('none'):
            assert gradient is None, name
            continue
        assert gradient.norm().item() == pytest.approx(record['norm'], rel=tolerance), name
        np.testing.assert_allclose(gradient.flatten()[:64].numpy(), golden.arrays[f'grad/{name}'].ravel(),
                                   rtol=0, atol=tolerance * record['norm'], err_msg=name)
    embedding = golden.model.text_encoder.model.embeddings.word_embeddings.weight
    rows = embedding.grad[golden.inputs[1][0, :3], :32].numpy()
    expected = golden.arrays['grad_rows/word_embeddings'].reshape(rows.shape)
    np.testing.assert_allclose(rows, expected, rtol=0, atol=tolerance * np.linalg.norm(expected))
    golden.model.float()


@pytest.mark.slow
def test_five_optimization_steps(shared_data):
    golden = Golden(shared_data / 'goldens', 'lavt_nano_w7')
    folder = shared_data / 'goldens'
    expected = json.loads((folder / 'lavt_optim.json').read_text())
    steps, arrays = expected['nano_w7_5steps'], np.load(folder / 'lavt_optim.npz')
    embeddings = golden.model.text_encoder.model.embeddings.requires_grad_(False)
    constructor = RISOptimWrapperConstructor(
        dict(optimizer=dict(type='AdamW', lr=5e-5, weight_decay=1e-2)),
        dict(custom_keys={key: dict(decay_mult=0.) for key in NO_DECAY}))
    optimizer = constructor(golden.model).optimizer
    # the goldens' norms count the embeddings' gradients, which the published training adds up over the steps, unused
    embeddings.requires_grad_(True)
    before = {name: value.clone() for name, value in golden.model.state_dict().items()}
    losses, norms = [], []
    for iteration in range(6):
        loss = golden.loss(golden.model(*golden.inputs).logits)
        losses.append(loss.item())
        if iteration == 5:
            break
        for group in optimizer.param_groups:
            group['lr'] = expected['lr_at_iteration']['0'] * (1 - iteration / expected['total_iterations'])**0.9
        optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad for p in golden.model.parameters() if p.grad is not None]
        norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm().item())
        optimizer.step()
    np.testing.assert_allclose(losses, steps['losses'], rtol=0, atol=2e-5)
    np.testing.assert_allclose(norms, steps['grad_norms'], rtol=1e-3)
    entries, after = golden.entries(), golden.model.state_dict()
    for name, norm in steps['change_norm'].items():
        ours = entries[name.replace('bert:', 'text_encoder.')].name
        assert (after[ours] - before[ours]).norm().item() == pytest.approx(norm, rel=5e-3), name
    unchanged = {entries[name.replace('bert:', 'text_encoder.')].name for name in steps['unchanged']}
    parameters = dict(golden.model.named_parameters())
    assert {name for name in parameters if torch.equal(before[name], after[name])} == unchanged
    with torch.no_grad():
        logits = nn.functional.interpolate(
            golden.model(*golden.inputs).logits, size=(224, 224), mode='bilinear', align_corners=True)
    # AdamW makes steps of equal size out of gradients of any size, rounding noise included: float32 and float64 of this
    # very test are 6e-3 apart, 9e-4 in the mean, where the logits' standard deviation is 0.43
    difference = np.abs(logits[..., ::8, ::8].numpy() - arrays['nano_w7_logits_after_5_steps'])
    assert difference.max() < 0.015 and difference.mean() < 0.002
