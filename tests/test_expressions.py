"""What an expression is before any tokenizer sees it; tests/models/text_encoders/test_words.py has its words."""
from __future__ import annotations

import pytest

from mmseg_ris_kd.expressions import check_expressions, is_empty, normalize_expression, split_words


def test_normalisation_is_identity_on_real_expressions(shared_data):
    import pickle
    path = shared_data / 'refer_boxes' / 'refcoco' / 'refs(unc).p'
    expressions = {sentence['raw'] for ref in pickle.loads(path.read_bytes()) for sentence in ref['sentences']}
    assert len(expressions) > 10000
    assert [text for text in expressions if normalize_expression(text) != ' '.join(text.split())] == []


@pytest.mark.parametrize('text', [
    '', '  \t\n', '\x00\x07', '\u200b\ufeff', '\ud83d', '\ufe0f', '\u0301', '\ufffd', '&nbsp;', '\x1b[36m',
])
def test_expression_without_visible_character(text):
    assert is_empty(text)
    with pytest.raises(ValueError, match='expression 1 is ') as error:
        check_expressions(['dog', text])
    assert repr(text) in str(error.value)


@pytest.mark.parametrize('text', ['?', "'", '5', 'é', '左', '👍', 'a &amp; b', '&'])
def test_expression_with_a_visible_character(text):
    assert not is_empty(text) and check_expressions([text]) == [normalize_expression(text)]


def test_plain_text_takes_a_short_cut_to_the_same_answer():
    for character in map(chr, range(128)):
        for text in (character, f' {character}'):
            assert is_empty(text) == (max(split_words(normalize_expression(text)), default=-1) < 0), repr(text)


def test_wrong_types():
    with pytest.raises(TypeError, match='wrap a single expression in a list'):
        check_expressions('the dog')
    with pytest.raises(TypeError, match='expression 1 is int 3'):
        check_expressions(['dog', 3])
    with pytest.raises(ValueError, match='at least one'):
        check_expressions([])
