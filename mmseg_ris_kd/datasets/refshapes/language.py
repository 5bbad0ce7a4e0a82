"""Wording of RefShapes' expressions: lower case, no punctuation, a closed vocabulary."""
from __future__ import annotations

import random

from .drawing import COLOURS, SHAPES
from .meaning import Description, Expression

MIN_WORDS, MAX_WORDS = 2, 12

SIZE_WORDS = {'small': ('small', 'little'), 'large': ('large', 'big')}
TEXTURE_WORDS = {
    'plain': ('plain', 'solid'),
    'striped': ('striped',),
    'dotted': ('dotted',),
    'checkered': ('checkered',),
}
TEXTURE_PHRASES = {'striped': 'with stripes', 'dotted': 'with dots', 'checkered': 'with checks'}
NOUNS = ('shape', 'thing', 'object', 'one')
# position: (words before the noun, phrases after it)
POSITION_WORDS = {
    'leftmost': (('leftmost',), ('farthest to the left',)),
    'rightmost': (('rightmost',), ('farthest to the right',)),
    'topmost': (('topmost', 'highest'), ('closest to the top',)),
    'bottommost': (('bottommost', 'lowest'), ('closest to the bottom',)),
    'left': (('left',), ('on the left', 'on the left side')),
    'right': (('right',), ('on the right', 'on the right side')),
    'top': (('top', 'upper'), ('at the top',)),
    'bottom': (('bottom', 'lower'), ('at the bottom',)),
    'top left': (('top left',), ('in the top left corner', 'at the top left')),
    'top right': (('top right',), ('in the top right corner', 'at the top right')),
    'bottom left': (('bottom left',), ('in the bottom left corner', 'at the bottom left')),
    'bottom right': (('bottom right',), ('in the bottom right corner', 'at the bottom right')),
    'middle': (('middle', 'central'), ('in the middle', 'in the center')),
}
RELATION_WORDS = {
    'left of': ('left of', 'to the left of'),
    'right of': ('right of', 'to the right of'),
    'above': ('above', 'higher than'),
    'below': ('below', 'lower than'),
    'closest to': ('closest to', 'nearest to'),
}


def vocabulary() -> list[str]:
    """WordPiece vocabulary: BERT's special tokens and every word of the grammar, in an order that no seed changes."""
    texts: list[str] = ['the', *SIZE_WORDS['small'], *SIZE_WORDS['large']]
    for words in TEXTURE_WORDS.values():
        texts.extend(words)
    texts.extend((*TEXTURE_PHRASES.values(), *COLOURS, *SHAPES, *NOUNS, 'that is'))
    for before, after in POSITION_WORDS.values():
        texts.extend((*before, *after))
    for phrases in RELATION_WORDS.values():
        texts.extend(phrases)
    words = dict.fromkeys(word for text in texts for word in text.split())
    return ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *words]


def noun_phrase(rng: random.Random, description: Description, trailing: bool) -> str:
    """Word a description without its article.

    Args:
        rng: Source of every random choice.
        description: What to say.
        trailing: Whether attributes may follow the noun ("circle with stripes"); not where a place follows, because
            "the circle with dots on the left" could mean the dots.
    """
    size = [] if description.size is None else [rng.choice(SIZE_WORDS[description.size])]
    options = []  # (adjectives to choose from, the same after the noun)
    if description.texture is not None:
        options.append((TEXTURE_WORDS[description.texture], TEXTURE_PHRASES.get(description.texture, '')))
    if description.colour is not None:
        options.append(((description.colour, ), f'that is {description.colour}'))
    adjectives, after = [], ''
    for words, phrase in options:
        if trailing and not after and phrase and rng.random() < 0.2:
            after = phrase
        else:
            adjectives.append(rng.choice(words))
    if rng.random() < 0.3:
        adjectives.reverse()
    noun = description.shape or rng.choice(NOUNS)
    return ' '.join([*size, *adjectives, noun, *after.split()])


def word_expression(rng: random.Random, expression: Expression) -> str:
    """Word an expression: lower case, no punctuation, MIN_WORDS to MAX_WORDS words (after a few attempts, or '')."""
    for _ in range(8):
        phrase = ''
        if expression.kind == 'attribute':
            phrase = noun_phrase(rng, expression.target, trailing=True)
        elif expression.kind == 'position':
            before, after = POSITION_WORDS[expression.position]
            if rng.random() < 0.5:
                phrase = f'{rng.choice(before)} {noun_phrase(rng, expression.target, trailing=True)}'
            else:
                phrase = f'{noun_phrase(rng, expression.target, trailing=False)} {rng.choice(after)}'
        else:
            target = noun_phrase(rng, expression.target, trailing=False)
            anchor = noun_phrase(rng, expression.anchor, trailing=False)
            phrase = f'{target} {rng.choice(RELATION_WORDS[expression.relation])} the {anchor}'
        if rng.random() < 0.6 or ' ' not in phrase:
            phrase = f'the {phrase}'
        if MIN_WORDS <= len(phrase.split()) <= MAX_WORDS:
            return phrase
    return ''
