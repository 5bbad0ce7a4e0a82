"""Token ids against transformers, truncation and vocabulary files."""
from __future__ import annotations

import copy
import pickle
import shutil

import pytest

from mmseg_ris_kd.models.text_encoders import tokenization
from mmseg_ris_kd.models.text_encoders.tokenization import (
    ExpressionTokenizer,
    build_wordpiece,
    read_wordpiece_vocabulary,
)


def make(vocab: str, max_length: int = 8) -> ExpressionTokenizer:
    vocabulary = read_wordpiece_vocabulary(vocab, required=('[PAD]', '[UNK]', '[CLS]', '[SEP]'))
    return ExpressionTokenizer(
        build_wordpiece(vocabulary), max_length=max_length, pad_token='[PAD]', unk_token='[UNK]')


def test_real_vocabulary_gives_the_published_ids(shared_data):
    tokenizer = make(str(shared_data / 'vocab' / 'bert-base-uncased-vocab.txt'), max_length=10)
    tokens = tokenizer(["The man's café", 'unbelievably left'])
    # [CLS] the man ' s cafe [SEP] · [CLS] un ##bel ##ie ##va ##bly left [SEP]
    assert tokens.ids.tolist() == [[101, 1996, 2158, 1005, 1055, 7668, 102, 0, 0, 0],
                                   [101, 4895, 8671, 2666, 3567, 6321, 2187, 102, 0, 0]]
    assert tokens.word_ids.tolist() == [[-1, 0, 1, 1, 1, 2, -1, -1, -1, -1], [-1, 0, 0, 0, 0, 0, 1, -1, -1, -1]]
    assert tokens.mask.sum(1).tolist() == tokens.lengths.tolist() == [7, 8]
    assert tokenizer.vocab_size == 30522


def test_equals_transformers_on_real_expressions(shared_data, tmp_path):
    from transformers import BertTokenizerFast
    vocab = shared_data / 'vocab' / 'bert-base-uncased-vocab.txt'
    shutil.copy(vocab, tmp_path / 'vocab.txt')
    path = shared_data / 'refer_boxes' / 'refcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    expressions = [sentence['raw'] for ref in refs for sentence in ref['sentences']][::7]
    expressions += [' '.join(expressions[:n]) for n in (5, 9, 40)]  # longer than 20 tokens
    expressions += ["it's 2nd!", 'café 🙂 dog', 'ÄÖ日本', 'a [SEP] b']
    expected = BertTokenizerFast.from_pretrained(str(tmp_path))(
        expressions, padding='max_length', truncation=True, max_length=20, return_tensors='pt')
    tokens = make(str(vocab), max_length=20)(expressions)
    assert (tokens.ids == expected['input_ids']).all()
    assert (tokens.mask == expected['attention_mask'].bool()).all()


def test_truncation_keeps_the_separator_and_warns_once(bert_vocab, monkeypatch):
    messages = []
    monkeypatch.setattr(tokenization, 'print_log', lambda message, **_: messages.append(message))
    tokenizer = make(bert_vocab)
    tokens = tokenizer(['man left', 'dog ' * 600, 'man ' * 7, 'man ' * 6])
    names = [tokenizer._backend.id_to_token(i) for i in tokens.ids[1].tolist()]
    assert names == ['[CLS]'] + ['dog'] * 6 + ['[SEP]']
    assert tokens.word_ids[1].tolist() == [-1, 0, 1, 2, 3, 4, 5, -1]
    assert tokenizer.num_truncated == 2
    assert len(messages) == 1
    assert "'dog dog" in messages[0] and '602 tokens' in messages[0] and len(messages[0]) < 400


def test_copies_tokenise_alike(bert_vocab):
    tokenizer = make(bert_vocab)
    expected = tokenizer(["the man's dog"])
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert (other(["the man's dog"]).ids == expected.ids).all()


def test_backend_is_a_private_copy(bert_vocab):
    vocabulary = read_wordpiece_vocabulary(bert_vocab, required=())
    backend = build_wordpiece(vocabulary)
    ExpressionTokenizer(backend, max_length=4, pad_token='[PAD]', unk_token='[UNK]')
    assert len(backend.encode('the man from left').ids) == 6


@pytest.mark.parametrize('content, message', [
    (b'[PAD]\n[UNK]\ndog\n', r'has no line \[CLS\], \[SEP\]'),
    (b'[PAD]\n[UNK]\n[CLS]\n[SEP]\ndog\ncat\ndog\n', "token 'dog' in lines 5 and 7"),
    (b'[PAD]\n\xff\xfe', 'is not UTF-8'),
    (b'', 'has no line'),
])
def test_broken_vocabulary(tmp_path, content, message):
    path = tmp_path / 'broken.txt'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        make(str(path))
    assert 'broken.txt' in str(error.value)


def test_missing_vocabulary_and_tiny_length(bert_vocab, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.txt'):
        make(str(tmp_path / 'nowhere.txt'))
    with pytest.raises(ValueError, match='max_length=2 leaves no room'):
        make(bert_vocab, max_length=2)
