"""Attention over the tokens of two tokenizers, brought to the same words."""
from __future__ import annotations

import torch

from mmseg_ris_kd.models.losses.words import align_words
from mmseg_ris_kd.structures import TextFeatures


def text(word_ids: list[list[int]], real: list[int]) -> TextFeatures:
    ids = torch.tensor(word_ids)
    mask = torch.arange(ids.shape[1])[None] < torch.tensor(real)[:, None]
    return TextFeatures(torch.zeros(*ids.shape, 1), mask, ids, torch.zeros(len(ids), 1))


def test_equal_tokens_stay_as_they_are():
    tokens = text([[-1, 0, 1, -1, -1]], [4])
    a, b = torch.rand(1, 3, 5), torch.rand(1, 3, 5)
    ours, theirs, mask = align_words(a, tokens, b, text([[-1, 0, 1, -1, -1]], [4]))
    assert ours is a and theirs is b and mask.tolist() == [[True, True, True, True, False]]


def test_pieces_are_summed_into_words():
    """'the giraffe left' as [CLS] the gi ##raf ##fe left [SEP], and as the three words."""
    pieces, words = text([[-1, 0, 1, 1, 1, 2, -1]], [7]), text([[0, 1, 2, -1]], [3])
    a = torch.tensor([[[.1, .2, .1, .1, .1, .3, .1]]])
    b = torch.tensor([[[.5, .3, .2, .0]]])
    ours, theirs, mask = align_words(a, pieces, b, words)
    assert mask[0].tolist() == [True] * 3 + [False] * 4
    torch.testing.assert_close(ours[0, 0, :3], torch.tensor([.2, .3, .3]))
    torch.testing.assert_close(theirs[0, 0, :3], torch.tensor([.5, .3, .2]))


def test_words_that_one_model_cut_off_are_not_compared():
    pieces, words = text([[-1, 0, 0, 0, -1]], [5]), text([[0, 1, 2, -1, -1]], [3])
    *_, mask = align_words(torch.rand(1, 2, 5), pieces, torch.rand(1, 2, 5), words)
    assert mask.tolist() == [[True, False, False, False, False]]


def test_the_same_length_is_not_the_same_tokens():
    one, other = text([[0, 1, 1], [0, 1, 2]], [3, 3]), text([[0, 0, 1], [0, 1, 2]], [3, 3])
    a = torch.rand(2, 2, 3)
    ours, theirs, mask = align_words(a, one, a, other)
    torch.testing.assert_close(ours[0, :, 1], a[0, :, 1] + a[0, :, 2])
    torch.testing.assert_close(theirs[0, :, 0], a[0, :, 0] + a[0, :, 1])
    assert mask.tolist() == [[True, True, False], [True, True, True]]


def test_padding_changes_nothing():
    """The same tokens, of a tokenizer that pads to 4 and one that pads to 6; beside them tokens that differ."""
    short = text([[-1, 0, 1, -1], [0, 0, 1, -1]], [4, 3])
    long = text([[-1, 0, 1, -1, -1, -1], [0, 1, -1, -1, -1, -1]], [4, 2])
    a, b = torch.rand(2, 3, 4), torch.rand(2, 3, 6)
    ours, theirs, mask = align_words(a, short, b, long)
    assert mask.tolist() == [[True] * 4 + [False] * 2, [True] * 2 + [False] * 4]
    torch.testing.assert_close(ours[0, :, :4], a[0])
    torch.testing.assert_close(theirs[0, :, :4], b[0, :, :4])
    ours, theirs, mask = align_words(b[:1], text([[-1, 0, 1, -1, -1, -1]], [4]), a[:1], text([[-1, 0, 1, -1]], [4]))
    assert torch.equal(ours, b[:1]) and torch.equal(theirs[..., :4], a[:1]) and mask.sum() == 4


def test_an_expression_does_not_depend_on_the_others():
    """Two expressions that both models cut alike, one that they cut in another way and one that is longer for one."""
    ours = [([-1, 0, 1, -1, -1], 4), ([-1, 0, 0, 1, -1], 5), ([-1, 0, 1, 2, -1], 5), ([-1, 0, -1, -1, -1], 3)]
    theirs = [([-1, 0, 1, -1, -1], 4), ([-1, 0, 1, 1, -1], 5), ([-1, 0, 1, -1, -1], 4), ([-1, 0, -1, -1, -1], 3)]
    a, b = torch.rand(4, 3, 5), torch.rand(4, 3, 5)
    together = align_words(a, text(*zip(*ours)), b, text(*zip(*theirs)))
    for i in range(4):
        alone = align_words(a[i:i + 1], text(*zip(ours[i])), b[i:i + 1], text(*zip(theirs[i])))
        mask = together[2][i]
        assert torch.equal(mask, alone[2][0])
        for x, y in zip(together[:2], alone[:2]):
            torch.testing.assert_close(x[i][:, mask], y[0][:, mask])
    assert together[2].sum(dim=1).tolist() == [4, 2, 2, 3]
