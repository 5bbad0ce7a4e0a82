"""RecurrentExpressionEncoder against the recurrent network run on each expression alone."""
from __future__ import annotations

import copy
import pickle

import pytest
import torch

from mmseg_ris_kd.models.text_encoders import RecurrentExpressionEncoder

EXPRESSIONS = ["man's t-shirt, 2nd from left", 'dog', 'the café 🙂 row']


def make(vocab: str, **options) -> RecurrentExpressionEncoder:
    torch.manual_seed(0)
    return RecurrentExpressionEncoder(vocab_file=vocab, embed_dims=6, hidden_dims=5, max_length=24, **options).eval()


@pytest.mark.parametrize('cell', ['LSTM', 'GRU'])
@pytest.mark.parametrize('bidirectional', [False, True])
@pytest.mark.parametrize('num_layers', [1, 2])
def test_equals_unpadded_network(bert_vocab, cell, bidirectional, num_layers):
    encoder = make(bert_vocab, cell=cell, bidirectional=bidirectional, num_layers=num_layers)
    features = encoder(EXPRESSIONS)
    assert features.tokens.shape == (3, 24, encoder.out_channels)
    assert encoder.out_channels == (10 if bidirectional else 5)
    tokens = encoder.tokenize(EXPRESSIONS)
    for index, length in enumerate(tokens.lengths.tolist()):
        states, _ = encoder.rnn(encoder.embedding(tokens.ids[index, :length])[None])
        torch.testing.assert_close(features.tokens[index, :length], states[0], atol=1e-6, rtol=0)
        assert features.tokens[index, length:].abs().sum() == 0
        # read to its end by the forward direction, to its beginning by the backward one
        expected = torch.cat([states[0, -1, :5], states[0, 0, 5:]])
        torch.testing.assert_close(features.sentence[index], expected, atol=1e-6, rtol=0)


def test_no_special_tokens(bert_vocab):
    tokens = make(bert_vocab).tokenize(['the dog'])
    assert tokens.lengths.tolist() == [2]
    assert tokens.word_ids[0].tolist() == [0, 1] + [-1] * 22


def test_expression_that_the_tokenizer_drops_is_one_unknown_word(bert_vocab):
    encoder = make(bert_vocab)
    tokens = encoder.tokenize(['dog', '\ue000'])  # a private-use character, which BERT's normaliser removes
    assert tokens.lengths.tolist() == [1, 1]
    assert tokens.ids[1, 0] == 1 and tokens.word_ids[1, 0] == 0
    assert encoder(['dog', '\ue000']).tokens.isfinite().all()


def test_plain_word_list(tmp_path):
    path = tmp_path / 'words.txt'
    path.write_text('[PAD]\n[UNK]\nred\ndog\n')
    assert make(str(path)).tokenize(['Red cat dog']).ids[0, :4].tolist() == [2, 1, 3, 0]


def test_copy_pickle_and_training(bert_vocab):
    encoder = make(bert_vocab, num_layers=2, dropout=0.1, frozen=('embedding',))
    expected = encoder(EXPRESSIONS).tokens
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(EXPRESSIONS).tokens, expected)
    features = encoder.train()(EXPRESSIONS)
    (features.tokens.sum() + features.sentence.sum()).backward()
    assert encoder.embedding.weight.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.rnn.parameters())


def test_wrong_arguments(bert_vocab, tmp_path):
    with pytest.raises(ValueError, match="cell='RNN' is unknown; choose one of LSTM, GRU"):
        make(bert_vocab, cell='RNN')
    with pytest.raises(ValueError, match="'model'.*valid names are embedding, rnn"):
        make(bert_vocab, frozen=['model'])
    with pytest.raises(TypeError, match='wrap a single expression'):
        make(bert_vocab)('the dog')
