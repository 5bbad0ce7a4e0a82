from __future__ import annotations

import pytest

from mmseg_ris_kd.datasets.refshapes.meaning import Description, Expression, evaluate, is_unique, sample_expression
from mmseg_ris_kd.datasets.refshapes.scene import Attributes, SceneObject


def thing(shape, x, y, colour='red', size='small', texture='plain', half=0.1):
    return SceneObject(Attributes(shape, colour, texture, size), x, y, (x - half, y - half, x + half, y + half), 1.0)


CIRCLE = Description(shape='circle')
SQUARE = Description(shape='square')


@pytest.mark.parametrize('position, x, y, answer', [
    ('left', 0.30, 0.9, True), ('left', 0.45, 0.9, None), ('left', 0.60, 0.9, False),
    ('right', 0.30, 0.9, False), ('right', 0.55, 0.9, None), ('right', 0.70, 0.1, True),
    ('top', 0.9, 0.2, True), ('top', 0.9, 0.8, False), ('bottom', 0.1, 0.8, True), ('bottom', 0.1, 0.5, None),
    ('top left', 0.2, 0.2, True), ('top left', 0.2, 0.45, None), ('top left', 0.2, 0.7, False),
    ('top left', 0.45, 0.7, False), ('bottom right', 0.8, 0.8, True), ('bottom right', 0.2, 0.8, False),
    ('middle', 0.55, 0.45, True), ('middle', 0.5, 0.3, None), ('middle', 0.2, 0.5, False),
])
def test_regions(position, x, y, answer):
    assert evaluate(Expression(CIRCLE, position=position), [thing('circle', x, y)]) == [answer]


@pytest.mark.parametrize('position, answers', [
    ('leftmost', [True, False, False]), ('rightmost', [False, None, None]), ('topmost', [False, False, True]),
    ('bottommost', [None, None, False]),
])
def test_superlatives_need_a_clear_lead(position, answers):
    objects = [thing('circle', 0.2, 0.75), thing('circle', 0.75, 0.80), thing('circle', 0.80, 0.2)]
    assert evaluate(Expression(CIRCLE, position=position), objects) == answers


def test_superlatives_rank_only_what_is_described_and_need_rivals():
    objects = [thing('square', 0.1, 0.5), thing('circle', 0.4, 0.5), thing('circle', 0.8, 0.5)]
    assert evaluate(Expression(CIRCLE, position='leftmost'), objects) == [False, True, False]
    assert evaluate(Expression(SQUARE, position='leftmost'), objects) == [None, False, False]


def test_superlatives_consider_edges_too():
    # the centre of the big one lies farther right, its left edge farther left
    objects = [thing('circle', 0.40, 0.2, half=0.10), thing('circle', 0.52, 0.8, half=0.25)]
    assert evaluate(Expression(CIRCLE, position='leftmost'), objects) == [None, None]


@pytest.mark.parametrize('relation, x, y, answer', [
    ('left of', 0.2, 0.5, True), ('left of', 0.8, 0.5, False), ('left of', 0.45, 0.5, None),
    ('left of', 0.3, 0.1, None),  # left, but more above than left
    ('right of', 0.8, 0.5, True), ('right of', 0.2, 0.5, False), ('above', 0.5, 0.2, True), ('above', 0.5, 0.8, False),
    ('below', 0.5, 0.8, True), ('below', 0.5, 0.49, None), ('below', 0.9, 0.2, False),
])
def test_directions(relation, x, y, answer):
    objects = [thing('square', 0.5, 0.5), thing('circle', x, y)]
    assert evaluate(Expression(CIRCLE, relation=relation, anchor=SQUARE), objects) == [False, answer]


@pytest.mark.parametrize('far_x, answers', [(0.9, [True, False]), (0.74, [None, None])])
def test_nearest_needs_a_clear_lead(far_x, answers):
    objects = [thing('square', 0.5, 0.5), thing('circle', 0.3, 0.5), thing('circle', far_x, 0.5)]
    assert evaluate(Expression(CIRCLE, relation='closest to', anchor=SQUARE), objects)[1:] == answers


def test_nearest_considers_rims_too():
    # the big one's centre is clearly farther, its rim is not
    objects = [thing('square', 0.5, 0.5), thing('circle', 0.3, 0.5), thing('circle', 0.85, 0.5, half=0.22)]
    assert evaluate(Expression(CIRCLE, relation='closest to', anchor=SQUARE), objects)[1:] == [None, None]


def test_an_anchor_must_be_unique():
    objects = [thing('square', 0.5, 0.5), thing('square', 0.5, 0.9), thing('circle', 0.1, 0.5)]
    expression = Expression(CIRCLE, relation='left of', anchor=SQUARE)
    assert evaluate(expression, objects) == [None] * 3
    assert not is_unique(expression, objects, 2)


def test_the_anchor_is_not_its_own_target():
    objects = [thing('square', 0.5, 0.5, colour='blue'), thing('square', 0.1, 0.5)]
    expression = Expression(SQUARE, relation='closest to', anchor=Description(colour='blue'))
    assert evaluate(expression, objects)[0] is False


def test_unclear_rivals_forbid_an_expression():
    target, unclear = thing('circle', 0.2, 0.5), thing('circle', 0.45, 0.5)
    assert is_unique(Expression(CIRCLE, position='left'), [target, thing('circle', 0.8, 0.5)], 0)
    assert not is_unique(Expression(CIRCLE, position='left'), [target, unclear], 0)


def test_no_attribute_expression_for_twins():
    import random
    twins = [thing('circle', 0.2, 0.5), thing('circle', 0.8, 0.5)]
    assert sample_expression(random.Random(0), twins, 0, 'attribute') is None
    assert sample_expression(random.Random(0), twins, 0, 'position').position in ('left', 'leftmost')
