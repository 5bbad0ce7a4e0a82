from __future__ import annotations

import hashlib
import random

import pytest

from mmseg_ris_kd.datasets.refshapes.language import noun_phrase, vocabulary, word_expression
from mmseg_ris_kd.datasets.refshapes.meaning import RELATIONS, Description, Expression

DIGEST = (70, 'ede4798f44a5b3af')
FULL = Description('circle', 'red', 'striped', 'large')


def wordings(expression):
    return {word_expression(random.Random(seed), expression) for seed in range(300)}


def test_vocabulary_never_changes():
    # Checkpoints store rows of the embedding by these numbers: only ever append.
    words = vocabulary()
    assert words[:6] == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the']
    assert len(words) == DIGEST[0]
    assert hashlib.sha256('\n'.join(words).encode()).hexdigest()[:16] == DIGEST[1]


def test_wordings_of_an_attribute_expression():
    found = wordings(Expression(Description(shape='star', colour='blue')))
    assert found == {'blue star', 'the blue star', 'star that is blue', 'the star that is blue'}


def test_a_single_word_gets_an_article():
    assert wordings(Expression(Description(shape='star'))) == {'the star'}


def test_wordings_of_a_position():
    found = wordings(Expression(Description(shape='star'), position='bottommost'))
    assert found == {f'{article}{text}' for article in ('', 'the ')
                     for text in ('bottommost star', 'lowest star', 'star closest to the bottom')}


def test_no_attribute_between_noun_and_place():
    # "the circle with stripes on the left" could mean stripes on the left
    for seed in range(200):
        assert noun_phrase(random.Random(seed), FULL, trailing=False).endswith('circle')


@pytest.mark.parametrize('relation', RELATIONS)
def test_too_long_expressions_are_not_worded(relation):
    for text in wordings(Expression(FULL, relation=relation, anchor=FULL)):
        assert text == '' or len(text.split()) <= 12
