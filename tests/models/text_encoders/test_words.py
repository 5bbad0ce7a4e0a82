"""The word splitter, and that all tokenizers agree on its words."""
from __future__ import annotations

import pytest

from mmseg_ris_kd.expressions import normalize_expression, split_words
from mmseg_ris_kd.models.text_encoders import BertExpressionEncoder, CLIPExpressionEncoder, RecurrentExpressionEncoder

TABLE = [
    ("man's t-shirt, 2nd from left", ["man's", 't', '-', 'shirt', ',', '2nd', 'from', 'left']),
    ('café 🙂 dog', ['café', '🙂', 'dog']),
    ("'second' row", ["'second", "'", 'row']),
    ('"\'hi\'"...', ['"', "'hi", '\'"...']),
    ('  the\tMAN\n', ['the', 'MAN']),
    ('cafe\u0301 don’t_go', ['café', "don't", '_', 'go']),  # NFC and straight quotes come from ftfy
    ('日本語 ½of 3.5', ['日本語', '½of', '3', '.', '5']),
    ('👨\u200d👩 ❤\ufe0f dog', ['👨\u200d👩', '❤\ufe0f', 'dog']),
    ('dog \u200d\ufe0f man', ['dog', 'man']),  # a run of invisible characters is no word
    ('\ud83d dog', ['dog']),  # a lone surrogate
]


def words_of(text: str) -> list[str]:
    spans: dict[int, str] = {}
    for character, word in zip(text, split_words(text)):
        if word >= 0:
            spans[word] = spans.get(word, '') + character
    assert list(spans) == list(range(len(spans)))
    return list(spans.values())


@pytest.mark.parametrize('text, words', TABLE)
def test_split_words(text, words):
    assert words_of(normalize_expression(text)) == words


def spelled(encoder, text: str) -> dict[int, str]:
    """What the tokens of each word spell, by word id."""
    tokens = encoder.tokenize([text])
    words: dict[int, str] = {}
    for token_id, word in zip(tokens.ids[0].tolist(), tokens.word_ids[0].tolist()):
        if word >= 0:
            token = encoder.tokenizer._backend.id_to_token(token_id)
            words[word] = words.get(word, '') + token.replace('##', '').replace('</w>', '')
    return words


@pytest.fixture(scope='module')
def encoders(bert_vocab, clip_vocab):
    tiny = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    return [
        BertExpressionEncoder(config=tiny, vocab_file=bert_vocab, max_length=40),
        RecurrentExpressionEncoder(vocab_file=bert_vocab, embed_dims=4, hidden_dims=4, max_length=40),
        CLIPExpressionEncoder(config=tiny, vocab_file=clip_vocab[0], merges_file=clip_vocab[1], max_length=70)]


@pytest.mark.parametrize('text, words', TABLE)
def test_tokenizers_agree_on_words(encoders, byte_symbols, text, words):
    bert, recurrent, clip = (spelled(encoder, text) for encoder in encoders)
    assert list(bert) == list(recurrent) == list(clip) == list(range(len(words)))
    assert bert == recurrent
    to_byte = {symbol: byte for byte, symbol in enumerate(byte_symbols)}
    for index, word in enumerate(words):
        assert bytes(to_byte[symbol] for symbol in clip[index]).decode() == word.lower()
        if word.isascii():
            assert bert[index] == word.lower()
    if 'café' in words:
        assert bert[words.index('café')] == 'cafe'
