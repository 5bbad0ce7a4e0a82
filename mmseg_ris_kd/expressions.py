"""Expressions before any tokenizer: one normaliser, one word splitter and one check for data and models."""
from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import ftfy


def normalize_expression(text: str) -> str:
    """Clean an expression once, before any tokenizer sees it, so that character offsets mean the same to all.

    `ftfy <https://ftfy.readthedocs.io>`_ repairs mis-decoded text, HTML entities, curly quotes, lone surrogates and
    control characters and applies Unicode NFC (CLIP's original tokenizer does so too); runs of whitespace become one
    space. Ordinary text stays as it is, and letters keep their case: lower-casing is each tokenizer's own affair.
    """
    return ' '.join(ftfy.fix_text(text).split())


def split_words(text: str) -> list[int]:
    """Index of the word that each character of ``text`` belongs to, -1 for characters between words.

    A word is a longest run of letters and digits, or a longest run of other visible characters (punctuation,
    emoji). An apostrophe before a letter or digit belongs to the run of letters (``man's`` is one word), because
    CLIP's tokenizer does not split ``'s``. Combining marks and invisible characters continue the run they follow.

    Returns:
        One index per character, counted from 0 in order of appearance: ``t-shirt, red`` has the words ``t``, ``-``,
        ``shirt``, ``,`` and ``red``.
    """
    words, word, run = [], -1, None
    for position, character in enumerate(text):
        category = unicodedata.category(character)
        if character.isspace():
            run = None
        elif category in ('Cc', 'Cf', 'Cs') or category[0] == 'M' or character == '\ufffd':
            pass  # invisible, combining or undecodable: tokenizers drop these or glue them to their neighbours
        else:
            after = text[position + 1:position + 2]
            kind = category[0] in 'LN' or (character in "'’" and after.isalnum())
            if kind is not run:
                word, run = word + 1, kind
        words.append(-1 if run is None else word)
    return words


def is_empty(text: str) -> bool:
    """Whether an expression has no word: nothing is left that a tokenizer could read.

    Examples:
        >>> [is_empty(text) for text in ('?', ' ', '\\u0301', '&nbsp;')]
        [False, True, True, True]
    """
    if text.isascii() and text.isprintable() and '&' not in text:
        return not text.strip()  # ftfy leaves such text as it is; an index has a hundred thousand
    return max(split_words(normalize_expression(text)), default=-1) < 0


def check_expressions(expressions: Sequence[str]) -> list[str]:
    """Normalise a batch of expressions, refusing what cannot be tokenised.

    Raises:
        TypeError: If ``expressions`` is one string or holds anything but strings.
        ValueError: If there are no expressions, or one has no visible character.
    """
    if isinstance(expressions, (str, bytes)) or not isinstance(expressions, Sequence):
        raise TypeError(f'expected a list of expressions, but got {type(expressions).__name__} {expressions!r:.80}; '
                        'wrap a single expression in a list')
    if not expressions:
        raise ValueError('expected at least one expression, but got an empty list')
    normalized = []
    for index, text in enumerate(expressions):
        if not isinstance(text, str):
            raise TypeError(f'expression {index} is {type(text).__name__} {text!r:.80}, expected a string')
        if is_empty(text):
            raise ValueError(f'expression {index} is {text!r:.80}: it has no visible character to tokenise; write an '
                             'expression, or remove this one from the annotation file')
        normalized.append(normalize_expression(text))
    return normalized
