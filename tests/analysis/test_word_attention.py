"""Words as the tokenizers count them, and attention summed into them."""
from __future__ import annotations

import pytest
import torch

from mmseg_ris_kd.analysis.word_attention import word_attention, words_of
from mmseg_ris_kd.expressions import normalize_expression, split_words
from mmseg_ris_kd.structures import RISFeatures, TextFeatures


def record(attention, word_ids, mask, grid):
    text = TextFeatures(tokens=torch.zeros(1), mask=mask, word_ids=word_ids, sentence=torch.zeros(1))
    return RISFeatures(visual=(), text=text, fused=(torch.zeros(len(mask), 3, *grid), ), attention=(attention, ))


@pytest.mark.parametrize('expression', ['left dog', "the man's T-shirt, red", '  two   spaces ', '左边 man', 'a&amp;b'])
def test_words_are_those_of_the_word_ids(expression):
    words = words_of(expression)
    assert len(words) == max(split_words(normalize_expression(expression))) + 1 and all(words)
    assert ''.join(words) == ''.join(normalize_expression(expression).split())


def test_tokens_are_summed_into_words_and_special_tokens_apart():
    # [CLS] left un ##seen [SEP] [PAD]; two heads
    attention = torch.tensor([.1, .2, .3, .1, .3, 0.]).expand(1, 2, 6, 6).clone()
    attention[:, 1] = torch.tensor([.3, .2, .1, .1, .3, 0.])
    maps, read = word_attention(
        record(attention, torch.tensor([[-1, 0, 1, 1, -1, -1]]), torch.tensor([[True] * 5 + [False]]), (2, 3)), 0, 3,
        owner='teacher')
    assert maps.shape == (1, 4, 2, 3) and read.tolist() == [[True, True, False, True]]
    torch.testing.assert_close(maps[0, :, 1, 2], torch.tensor([.2, .3, 0., .5]))


def test_a_model_without_special_tokens_has_no_such_map():
    maps, read = word_attention(record(torch.full((1, 1, 4, 2), .5), torch.tensor([[0, 1]]),
                                       torch.tensor([[True, True]]), (2, 2)), 0, 2, owner='student')
    assert read.tolist() == [[True, True, False]] and maps[0, 2].max() == 0


def test_a_stage_that_is_not_there_is_an_error():
    features = record(torch.full((1, 1, 4, 2), .5), torch.tensor([[0, 1]]), torch.tensor([[True, True]]), (2, 2))
    with pytest.raises(ValueError, match='no stage 4: the teacher hands out pixel-word attention of 1 stages'):
        word_attention(features, 4, 2, owner='teacher')
