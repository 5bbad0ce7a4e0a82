"""BertExpressionEncoder against transformers called directly."""
from __future__ import annotations

import copy
import json
import os
import pickle
import shutil

import pytest
import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS

from mmseg_ris_kd.models.text_encoders import BertExpressionEncoder

EXPRESSIONS = ["man's t-shirt, 2nd from left", 'dog', 'the café 🙂 row']


@pytest.fixture
def encoder(tiny_bert, bert_vocab) -> BertExpressionEncoder:
    torch.manual_seed(0)
    return BertExpressionEncoder(config=tiny_bert, vocab_file=bert_vocab, max_length=24).eval()


@pytest.fixture
def folder(tiny_bert, bert_vocab, tmp_path) -> str:
    """A published model: BERT with its pooler, config and vocabulary."""
    from transformers import BertConfig, BertModel
    with open(bert_vocab) as file:
        vocab_size = len(file.readlines())
    BertModel(BertConfig(vocab_size=vocab_size, **tiny_bert)).save_pretrained(tmp_path)
    shutil.copy(bert_vocab, tmp_path / 'vocab.txt')
    return str(tmp_path)


def assert_same_weights(first, second):
    first, second = first.state_dict(), second.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_equals_transformers(folder):
    from transformers import BertModel, BertTokenizerFast
    encoder = MODELS.build(dict(type='BertExpressionEncoder', pretrained=folder, max_length=12)).eval()
    inputs = BertTokenizerFast.from_pretrained(folder)(
        EXPRESSIONS, padding='max_length', truncation=True, max_length=12, return_tensors='pt')
    expected = BertModel.from_pretrained(folder)(**inputs).last_hidden_state
    features = encoder(EXPRESSIONS)
    torch.testing.assert_close(features.tokens, expected)
    torch.testing.assert_close(features.sentence, expected[:, 0])
    assert features.mask.dtype == torch.bool
    assert torch.equal(features.mask, inputs['attention_mask'].bool())
    assert encoder.out_channels == features.tokens.shape[2] == 16
    assert encoder.max_length == features.word_ids.shape[1] == 12
    assert not any('pooler' in key for key in encoder.state_dict())
    assert 'model.embeddings.word_embeddings.weight' in encoder.state_dict()
    assert all(key.startswith('model.') for key in encoder.state_dict())


def test_features_do_not_depend_on_batch_or_padding(encoder, tiny_bert, bert_vocab):
    batch = encoder(EXPRESSIONS)
    longer = BertExpressionEncoder(config=tiny_bert, vocab_file=bert_vocab, max_length=40).eval()
    longer.load_state_dict(encoder.state_dict())
    for index, text in enumerate(EXPRESSIONS):
        real = batch.mask[index]
        for other in (encoder([text]), longer([text])):
            torch.testing.assert_close(other.tokens[0][other.mask[0]], batch.tokens[index][real], atol=1e-5, rtol=0)
            torch.testing.assert_close(other.sentence[0], batch.sentence[index], atol=1e-5, rtol=0)


def test_frozen_parts(tiny_bert, bert_vocab):
    config = dict(tiny_bert, num_hidden_layers=11)
    encoder = BertExpressionEncoder(config=config, vocab_file=bert_vocab, frozen=('embeddings', 'encoder.layer.1'))
    frozen = {name for name, parameter in encoder.model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in encoder.model.named_parameters()
                      if name.startswith(('embeddings.', 'encoder.layer.1.'))}  # and not encoder.layer.10
    assert encoder.train().model.embeddings.dropout.training
    encoder(['dog']).tokens.sum().backward()
    assert all((parameter.grad is None) != parameter.requires_grad for parameter in encoder.parameters())
    with pytest.raises(ValueError, match=r"'encoder.layers.1'.*BertModel.*embeddings, .*encoder.layer.1, "):
        BertExpressionEncoder(config=config, vocab_file=bert_vocab, frozen=['encoder.layers.1'])
    with pytest.raises(TypeError, match='must be a list'):
        BertExpressionEncoder(config=config, vocab_file=bert_vocab, frozen='embeddings')


def test_size_of_bert_base(bert_vocab):
    with torch.device('meta'):
        encoder = BertExpressionEncoder(config=dict(vocab_size=30522), vocab_file=bert_vocab)
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(108.89e6, rel=1e-3)


def test_initialising_keeps_loaded_weights(folder):
    encoder = BertExpressionEncoder(pretrained=folder)
    before = copy.deepcopy(encoder)
    parent = BaseModule()
    parent.text_encoder = encoder
    parent.init_weights()  # what mmengine's Runner does before training
    assert_same_weights(encoder, before)
    assert all(module.training for module in encoder.modules())


def test_copy_and_pickle(encoder):
    expected = encoder(EXPRESSIONS)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        features = other(EXPRESSIONS)
        assert torch.equal(features.tokens, expected.tokens)
        assert torch.equal(features.word_ids, expected.word_ids)


def test_architecture_without_weights(folder, tmp_path):
    loaded = BertExpressionEncoder(pretrained=folder)
    os.remove(tmp_path / 'model.safetensors')
    with pytest.raises(FileNotFoundError, match='holds no complete model.*HF_HUB_OFFLINE') as error:
        BertExpressionEncoder(pretrained=folder)
    assert error.value.__cause__ is None and error.value.__context__ is None
    empty = BertExpressionEncoder(pretrained=folder, load_weights=False)
    empty.load_state_dict(loaded.state_dict())
    assert_same_weights(empty, loaded)


@pytest.mark.parametrize('missing', ['vocab.txt', 'config.json'])
def test_incomplete_folder(folder, tmp_path, missing):
    os.remove(tmp_path / missing)
    with pytest.raises(FileNotFoundError, match='holds no complete model'):
        BertExpressionEncoder(pretrained=folder, load_weights=False)


def test_published_small_berts(folder, tmp_path):
    """Their config names no model type; their weights have old names, a prefix and a language-model head."""
    reference = BertExpressionEncoder(pretrained=folder)
    config = json.loads((tmp_path / 'config.json').read_text())
    del config['model_type'], config['architectures']
    (tmp_path / 'config.json').write_text(json.dumps(config))
    os.remove(tmp_path / 'model.safetensors')
    weights = {'bert.' + key.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'):
               value for key, value in reference.model.state_dict().items()}
    weights['cls.predictions.bias'] = torch.zeros(3)
    torch.save(weights, tmp_path / 'pytorch_model.bin')
    assert_same_weights(BertExpressionEncoder(pretrained=folder), reference)


def test_checkpoint_of_another_model(folder, tmp_path):
    from safetensors.torch import save_file
    save_file({'backbone.weight': torch.zeros(3)}, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ValueError, match=r'lack \d+ parameters of BertModel.*checkpoint of another model'):
        BertExpressionEncoder(pretrained=folder)


@pytest.mark.parametrize('file', ['model.safetensors', 'pytorch_model.bin'])
def test_truncated_weights(folder, tmp_path, file):
    if file == 'pytorch_model.bin':
        torch.save(BertExpressionEncoder(pretrained=folder).model.state_dict(), tmp_path / file)
        os.remove(tmp_path / 'model.safetensors')
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[:len(content) // 2])
    with pytest.raises(FileNotFoundError, match='its weights are missing or cannot be read'):
        BertExpressionEncoder(pretrained=folder)


def test_weights_of_another_size(folder, tmp_path):
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps(dict(config, intermediate_size=64)))
    with pytest.raises(ValueError, match='the weights of pretrained=.* do not fit its config'):
        BertExpressionEncoder(pretrained=folder)


def test_tokens_follow_the_parameters(encoder, monkeypatch):
    monkeypatch.setattr(encoder, 'encode', lambda tokens: tokens)
    tokens = encoder.to('meta')(EXPRESSIONS)
    assert {tokens.ids.device.type, tokens.mask.device.type, tokens.word_ids.device.type} == {'meta'}
    assert tokens.lengths.device.type == encoder.tokenize(EXPRESSIONS).ids.device.type == 'cpu'


@pytest.mark.parametrize('family', ['distilbert', 'electra', 'roberta'])
def test_relatives_of_bert(family, tiny_bert, bert_vocab, byte_symbols, tmp_path):
    import transformers
    if family == 'roberta':
        tokens = ['<s>', '<pad>', '</s>', '<unk>', '<mask>', *byte_symbols]
        (tmp_path / 'vocab.json').write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
        (tmp_path / 'merges.txt').write_text('#version: 0.2\n')
        config = transformers.RobertaConfig(vocab_size=len(tokens), **tiny_bert)
    else:
        shutil.copy(bert_vocab, tmp_path / 'vocab.txt')
        with open(bert_vocab) as file:
            vocab_size = len(file.readlines())
        config = transformers.DistilBertConfig(vocab_size=vocab_size, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
        if family == 'electra':
            config = transformers.ElectraConfig(vocab_size=vocab_size, embedding_size=16, **tiny_bert)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    encoder = BertExpressionEncoder(pretrained=str(tmp_path), max_length=32).eval()
    features = encoder(["man's dog, left"])
    assert features.tokens.shape == (1, 32, 16)
    words = [word for word in features.word_ids[0].tolist() if word >= 0]
    assert sorted(set(words)) == [0, 1, 2, 3]
    assert words == sorted(words)


def test_wrong_arguments(tiny_bert, bert_vocab):
    with pytest.raises(ValueError, match='either pretrained, or config and vocab_file'):
        BertExpressionEncoder()
    with pytest.raises(ValueError, match='either pretrained, or config and vocab_file'):
        BertExpressionEncoder(pretrained='bert-base-uncased', config=tiny_bert, vocab_file=bert_vocab)
    with pytest.raises(ValueError, match="'num_layers'.*did you mean 'num_hidden_layers'"):
        BertExpressionEncoder(config=dict(num_layers=2), vocab_file=bert_vocab)
    with pytest.raises(ValueError, match='vocab_size=10 in the config'):
        BertExpressionEncoder(config=dict(tiny_bert, vocab_size=10), vocab_file=bert_vocab)
    with pytest.raises(ValueError, match='max_length=20 exceeds the 16 positions'):
        BertExpressionEncoder(config=dict(tiny_bert, max_position_embeddings=16), vocab_file=bert_vocab)
    encoder = BertExpressionEncoder(config=tiny_bert, vocab_file=bert_vocab)
    with pytest.raises(ValueError, match='expression 1'):
        encoder(['dog', ' '])
