"""tools/model_converters/lavt2mmseg.py, with small files and with a LAVT of full size made by the goldens' recipe."""
from __future__ import annotations

import argparse
import gzip
import json
import runpy
from pathlib import Path

import pytest
import torch
from lavt_reference import lavt_logits, position_rows
from mmseg.registry import DATASETS, MODELS
from published_checkpoints import published_swin, random_lavt

from mmseg_ris_kd.apis import load_checkpoint_strictly, load_config
from mmseg_ris_kd.models.backbones import LanguageAwareSwin

TOOL = 'model_converters/lavt2mmseg.py'
pytestmark = pytest.mark.slow


def recipe_weights(folder: Path, name: str) -> dict:
    """The entries of a published checkpoint, with the values of goldens/recipe.py."""
    recipe = runpy.run_path(str(folder / 'recipe.py'))
    parts = json.loads(gzip.decompress((folder / f'{name}.keys.json.gz').read_bytes()))

    def value(key, shape, dtype):
        if dtype == 'float32':  # d1: with plain random weights, twelve layers of BERT make all words alike
            return torch.from_numpy(recipe['weight_d1'](key, tuple(shape)))
        if key.endswith('relative_position_index'):
            return position_rows(round(shape[0]**0.5))
        assert key.endswith('num_batches_tracked'), key
        return torch.zeros(shape, dtype=torch.long)

    return {part: {key: value(key, shape, dtype) for key, shape, dtype in entries} for part, entries in parts.items()}


@pytest.fixture(scope='module', params=['lavt_base12', 'lavt_one_base12'])
def full_size(request, shared_data, run_tool, tmp_path_factory):
    """A checkpoint of 228 million values, its conversion, and what the tool said."""
    folder = tmp_path_factory.mktemp(request.param)
    published = recipe_weights(shared_data / 'goldens', request.param)
    torch.save(dict(published, args=argparse.Namespace(lr=5e-5), epoch=39), folder / 'published.pth')
    done = run_tool(TOOL, folder / 'published.pth', folder / 'converted.pth')
    (folder / 'published.pth').unlink()
    yield published, folder / 'converted.pth', done.stdout
    (folder / 'converted.pth').unlink()


@pytest.fixture(scope='module')
def vocab_file(shared_data) -> str:
    return str(shared_data / 'vocab' / 'bert-base-uncased-vocab.txt')


def test_logits_of_real_expressions_at_full_size(full_size, shared_data, offline_model, vocab_file):
    """Ours from text and pixels against the reference, which gives the original's goldens (test_lavt_goldens.py)."""
    published, converted, said = full_size
    assert 'embed_dims=128' in said and 'window_size=12' in said and 'fusion_heads' in said
    config = load_config('lavt_swin-b_bert_refcoco')
    model = MODELS.build(offline_model(config.model, vocab_file)).eval()
    load_checkpoint_strictly(model, converted)
    dataset = DATASETS.build(dict(config.test_dataloader.dataset, data_root=str(shared_data / 'refer'), split='testA'))
    items = [dataset[0], dataset[len(dataset) - 1]]
    data = model.data_preprocessor({key: [item[key] for item in items] for key in items[0]})
    expressions = [sample.expression for sample in data['data_samples']]
    assert len(set(expressions)) == 2
    with torch.no_grad():
        logits = model(data['inputs'], data['data_samples'], mode='tensor')
        words, mask = bert_of(published, expressions, vocab_file)
        expected = lavt_logits(published['model'], data['inputs'], words, mask)
    assert logits.shape == (2, 2, 120, 120) and expected.std() > 0.05
    difference = (logits - expected).abs().max().item()
    print(f'{expressions}: largest difference {difference:.1e}, standard deviation of the logits {expected.std():.2f}')
    assert difference < 1e-4 * expected.abs().max()


def bert_of(published: dict, expressions: list, vocab_file: str) -> tuple:
    """BERT and its tokenizer as transformers has them."""
    from transformers import BertConfig, BertModel, BertTokenizer
    prefix = '' if 'bert_model' in published else 'text_encoder.'
    state = {name.removeprefix(prefix): value for name, value in published.get('bert_model', published['model']).items()
             if name.startswith(prefix)}
    bert = BertModel(BertConfig(), add_pooling_layer=False).eval()
    bert.load_state_dict(state)
    tokenizer = BertTokenizer(vocab_file)
    tokens = tokenizer(expressions, padding='max_length', truncation=True, max_length=20, return_tensors='pt')
    ids, mask = tokens['input_ids'], tokens['attention_mask']
    return bert(ids, attention_mask=mask).last_hidden_state, mask


def test_the_converted_teacher_drops_into_a_distillation_by_path(full_size, offline_model):
    published, converted, _ = full_size
    config = load_config('cmkd_swinb_to_r18_refcoco', {'model.teacher_ckpt': str(converted)})
    distiller = MODELS.build(offline_model(config.model))
    distiller.init_weights()
    weights = distiller.teacher.model.state_dict()
    for name, value in torch.load(converted, weights_only=True, mmap=True)['state_dict'].items():
        assert torch.equal(weights[name], value), name
    assert torch.equal(weights['decode_head.conv_seg.weight'], published['model']['classifier.conv1_1.weight'])


def test_small_files(run_tool, tmp_path):
    source, target = tmp_path / 'lavt.pth', tmp_path / 'out' / 'teacher.pth'
    checkpoint = random_lavt()
    torch.save(dict(checkpoint, args=argparse.Namespace(mha='2-2-2-2')), source)
    assert 'fusion_heads=[2,2,2,2]' in run_tool(TOOL, source, target).stdout
    converted = torch.load(target, weights_only=True)
    assert converted['meta']['architecture']['window_size'] == 3
    assert 'the published checkpoint itself' in run_tool(TOOL, source, source, check=False).stderr
    target.unlink()

    removed = checkpoint['model'].pop('classifier.conv1_1.bias')
    checkpoint['model']['classifier.conv9.bias'] = removed
    torch.save(checkpoint, source)
    failed = run_tool(TOOL, source, target, check=False)
    assert 'missing: classifier.conv1_1.bias\nunknown: classifier.conv9.bias' in failed.stdout
    assert failed.returncode == 1 and 'nothing was written' in failed.stderr and 'Traceback' not in failed.stderr
    assert not target.exists()
    run_tool(TOOL, source, target, '--allow-partial')
    assert 'decode_head.conv_seg.bias' not in torch.load(target, weights_only=True)['state_dict']


def test_swin_weights_to_start_from(run_tool, tmp_path):
    size = dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))
    state = LanguageAwareSwin(16, **size, window_size=7).state_dict()
    torch.save(dict(model=published_swin(state)), tmp_path / 'swin.pth')
    run_tool(TOOL, tmp_path / 'swin.pth', tmp_path / 'converted.pth')
    backbone = LanguageAwareSwin(
        16, **size, window_size=7, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'converted.pth')))
    backbone.init_weights()
    pretrained = {name: value for name, value in backbone.state_dict().items()
                  if not name.startswith(backbone.not_pretrained)}
    assert all(torch.equal(value, state[name]) for name, value in pretrained.items())

    backbone = LanguageAwareSwin(
        16, **size, window_size=12, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'converted.pth')))
    backbone.init_weights()  # position biases are interpolated
    name = 'stages.3.blocks.0.ffn.layers.1.weight'
    assert torch.equal(backbone.get_parameter(name), state[name])


@pytest.mark.parametrize('options, message', [
    (dict(window_size=12), r"(?s)relative_position_bias_table \(169, 1\) instead of.*'window_size': 7"),
    (dict(fusion_heads=(1, 1, 1, 1)), r'fusion_heads=\[2, 2, 2, 2\], but the model has \[1, 1, 1, 1\]'),
])
def test_a_model_of_another_architecture(tmp_path, options, message):
    size = dict(embed_dims=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=7, fusion_heads=[2, 2, 2, 2])
    model = torch.nn.Module()
    model.backbone = LanguageAwareSwin(16, **size)
    meta = dict(converted_from='lavt.pth', kind='lavt', architecture=size)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), tmp_path / 'converted.pth')
    load_checkpoint_strictly(model, tmp_path / 'converted.pth')
    model.backbone = LanguageAwareSwin(16, **{**size, **options})
    with pytest.raises(ValueError, match=message):
        load_checkpoint_strictly(model, tmp_path / 'converted.pth')
