import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

SENTENCES = [dict(sent_id=7, text='one'), dict(sent_id=8, text='two'), dict(sent_id=9, text='three')]


def sample(sentences):
    return TRANSFORMS.build(dict(type='SampleExpression'))(dict(sentences=sentences, ref_id=3))


def test_every_expression_is_equally_likely_and_keeps_its_id():
    np.random.seed(0)
    chosen = [(r['sent_id'], r['expression']) for r in (sample(SENTENCES) for _ in range(3000))]
    for sentence in SENTENCES:  # 5 standard deviations of a binomial(3000, 1/3)
        assert abs(chosen.count((sentence['sent_id'], sentence['text'])) - 1000) < 130


def test_the_draw_comes_from_numpy():
    np.random.seed(4)
    first = [sample(SENTENCES)['sent_id'] for _ in range(20)]
    np.random.seed(4)
    assert [sample(SENTENCES)['sent_id'] for _ in range(20)] == first


def test_a_single_expression_draws_nothing():
    np.random.seed(4)
    expected = np.random.rand()
    np.random.seed(4)
    assert sample(SENTENCES[:1])['expression'] == 'one'
    assert np.random.rand() == expected


@pytest.mark.parametrize('text', ['Tête-à-tête', '红色的车 ', '🐶 left of 🐱', 'word ' * 600])
def test_text_is_passed_on_as_it_is(text):
    assert sample([dict(sent_id=0, text=text)])['expression'] == text


@pytest.mark.parametrize('text', ['', ' \t', '\ufe0f', '\u0301', '\ufffd', '&nbsp;'])
def test_empty_expression_names_record_and_fix(text):
    with pytest.raises(ValueError, match='sent_id 2 of ref_id 3 is empty.*expression_field'):
        sample([dict(sent_id=2, text=text)])


@pytest.mark.parametrize('sentences', [None, []])
def test_no_expression(sentences):
    with pytest.raises(ValueError, match='ref_id 3 has no expression'):
        sample(sentences)
