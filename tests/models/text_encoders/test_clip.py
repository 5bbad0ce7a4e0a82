"""CLIPExpressionEncoder against transformers called directly."""
from __future__ import annotations

import copy
import json
import pickle
import shutil

import pytest
import torch

from mmseg_ris_kd.models.text_encoders import CLIPExpressionEncoder

EXPRESSIONS = ["Man's t-shirt, 2nd from left", 'man', 'the dog']


@pytest.fixture
def encoder(tiny_clip, clip_vocab) -> CLIPExpressionEncoder:
    torch.manual_seed(0)
    return CLIPExpressionEncoder(
        config=tiny_clip, vocab_file=clip_vocab[0], merges_file=clip_vocab[1], max_length=40).eval()


def test_token_ids(encoder, clip_vocab):
    with open(clip_vocab[0], encoding='utf-8') as file:
        vocabulary = json.load(file)
    tokens = encoder.tokenize(["a Man's"])
    names = {index: name for name, index in vocabulary.items()}
    assert [names[i] for i in tokens.ids[0].tolist()] == [
        '<|startoftext|>', 'a</w>', 'man</w>', "'s</w>"] + ['<|endoftext|>'] * 36
    assert tokens.word_ids[0, :6].tolist() == [-1, 0, 1, 1, -1, -1]
    assert tokens.lengths.tolist() == [5]


@pytest.mark.parametrize('whole_clip', [False, True])
def test_equals_transformers(whole_clip, tiny_clip, clip_vocab, tmp_path):
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast
    with open(clip_vocab[0], encoding='utf-8') as file:
        end = json.load(file)['<|endoftext|>']
    tiny = dict(tiny_clip, vocab_size=end + 1, eos_token_id=end, bos_token_id=end - 1, pad_token_id=end)
    if whole_clip:
        vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=32)
        CLIPModel(CLIPConfig(text_config=tiny, vision_config=vision, projection_dim=8)).save_pretrained(tmp_path)
    else:
        CLIPTextModel(CLIPTextConfig(**tiny)).save_pretrained(tmp_path)
    shutil.copy(clip_vocab[0], tmp_path / 'vocab.json')
    shutil.copy(clip_vocab[1], tmp_path / 'merges.txt')
    encoder = CLIPExpressionEncoder(pretrained=str(tmp_path), max_length=16).eval()
    inputs = CLIPTokenizerFast.from_pretrained(str(tmp_path))(
        EXPRESSIONS, padding='max_length', truncation=True, max_length=16, return_tensors='pt')
    expected = CLIPTextModel.from_pretrained(str(tmp_path))(**inputs)
    features = encoder(EXPRESSIONS)
    torch.testing.assert_close(features.tokens, expected.last_hidden_state)
    torch.testing.assert_close(features.sentence, expected.pooler_output)
    assert torch.equal(features.mask, inputs['attention_mask'].bool())
    assert encoder.tokenizer.num_truncated == 1
    # one set of names, whatever the version of transformers wraps around the transformer
    assert 'model.encoder.layers.0.mlp.fc1.weight' in encoder.state_dict()
    blank = CLIPExpressionEncoder(pretrained=str(tmp_path), max_length=16, load_weights=False)
    blank.load_state_dict(encoder.state_dict())


def test_features_do_not_depend_on_batch_or_padding(encoder, tiny_clip, clip_vocab):
    longer = CLIPExpressionEncoder(
        config=tiny_clip, vocab_file=clip_vocab[0], merges_file=clip_vocab[1], max_length=77).eval()
    longer.load_state_dict(encoder.state_dict())
    batch = encoder(EXPRESSIONS)
    for index, text in enumerate(EXPRESSIONS):
        for other in (encoder([text]), longer([text])):
            torch.testing.assert_close(
                other.tokens[0][other.mask[0]], batch.tokens[index][batch.mask[index]], atol=1e-5, rtol=0)
            torch.testing.assert_close(other.sentence[0], batch.sentence[index], atol=1e-5, rtol=0)


def test_copy_pickle_and_initialisation(encoder):
    expected = encoder(EXPRESSIONS).tokens
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(EXPRESSIONS).tokens, expected)
    encoder.init_weights()
    assert torch.equal(encoder(EXPRESSIONS).tokens, expected)


def test_frozen_and_wrong_arguments(tiny_clip, clip_vocab, tmp_path):
    vocab, merges = clip_vocab
    encoder = CLIPExpressionEncoder(config=tiny_clip, vocab_file=vocab, merges_file=merges, frozen=['encoder.layers.0'])
    assert {name.split('.')[2] for name, p in encoder.model.named_parameters() if not p.requires_grad} == {'0'}
    with pytest.raises(ValueError, match='max_length=78 exceeds the 77 positions'):
        CLIPExpressionEncoder(config=tiny_clip, vocab_file=vocab, merges_file=merges, max_length=78)
    with pytest.raises(ValueError, match='config, vocab_file and merges_file'):
        CLIPExpressionEncoder(config=tiny_clip, vocab_file=vocab)
    with pytest.raises(ValueError, match='config, vocab_file and merges_file'):
        CLIPExpressionEncoder(pretrained='openai/clip-vit-base-patch16', merges_file=merges)
    with pytest.raises(ValueError, match="unknown key 'depth'"):
        CLIPExpressionEncoder(config=dict(depth=2), vocab_file=vocab, merges_file=merges)
    with pytest.raises(FileNotFoundError, match=r'merges_file=.*nowhere\.txt'):
        CLIPExpressionEncoder(config=tiny_clip, vocab_file=vocab, merges_file=str(tmp_path / 'nowhere.txt'))
    with pytest.raises(ValueError, match='vocab_file=.* is not a JSON file'):
        CLIPExpressionEncoder(config=tiny_clip, vocab_file=merges, merges_file=merges)
