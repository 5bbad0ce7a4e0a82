"""Expressions to padded token ids, with the word each token belongs to."""
from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from mmengine.logging import print_log
from tokenizers import Encoding, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from mmseg_ris_kd.expressions import check_expressions, split_words

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


@dataclass(frozen=True)
class TokenizedExpressions:
    """B expressions as padded token ids, on the CPU until :meth:`to` moves them.

    Args:
        ids: Token ids with shape (B, L), int64.
        mask: Boolean tensor with shape (B, L), True at real tokens, special tokens included.
        word_ids: int64 tensor with shape (B, L): index of the token's word, -1 for special and padding tokens.
        lengths: Number of real tokens with shape (B,), int64. Stays on the CPU, where packed sequences want it.
    """
    ids: Tensor
    mask: Tensor
    word_ids: Tensor
    lengths: Tensor

    def to(self, device: torch.device) -> TokenizedExpressions:
        """Copy with everything but ``lengths`` on ``device``."""
        return replace(self, ids=self.ids.to(device), mask=self.mask.to(device), word_ids=self.word_ids.to(device))


class ExpressionTokenizer:
    """Turn expressions into token ids of one fixed length.

    Works on a private copy of a ``tokenizers`` backend, expression by expression: the result does not depend on the
    batch, and the library starts no threads that forked worker processes would stumble over.

    Args:
        backend: Tokenizer with its own normalisation and special tokens.
        max_length: Length L that every expression is padded or truncated to, special tokens included.
        pad_token: Token that fills up short expressions.
        unk_token: Token that stands for an expression of which the backend keeps nothing.
        special_tokens: Whether the backend's special tokens ([CLS], [SEP], ...) are added.

    Raises:
        ValueError: If ``max_length`` leaves no room for a word, or the backend lacks ``pad_token`` or ``unk_token``.
    """

    def __init__(self, backend: Tokenizer, *, max_length: int, pad_token: str, unk_token: str,
                 special_tokens: bool = True) -> None:
        self._backend = Tokenizer.from_str(backend.to_str())
        self._num_special = self._backend.num_special_tokens_to_add(False) if special_tokens else 0
        if max_length <= self._num_special:
            raise ValueError(
                f'max_length={max_length} leaves no room for a word beside {self._num_special} special tokens')
        for token in (pad_token, unk_token):
            if self._backend.token_to_id(token) is None:
                raise ValueError(f'the tokenizer does not know its special token {token!r}')
        self.pad_id = self._backend.token_to_id(pad_token)
        self.unk_id = self._backend.token_to_id(unk_token)
        self.max_length = max_length
        self.special_tokens = special_tokens
        self.num_truncated = 0
        self._backend.enable_truncation(max_length)
        self._backend.enable_padding(length=max_length, pad_id=self.pad_id, pad_token=pad_token)

    @property
    def vocab_size(self) -> int:
        """Number of rows that an embedding table needs: the largest id plus one."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    def token_id(self, token: str) -> int | None:
        """Id of a token, None if the vocabulary lacks it."""
        return self._backend.token_to_id(token)

    def __call__(self, expressions: Sequence[str]) -> TokenizedExpressions:
        """Tokenise B expressions; ``num_truncated`` counts those cut to ``max_length``, the first one is reported.

        Raises:
            TypeError: If ``expressions`` is not a list of strings.
            ValueError: If an expression has no visible character.
        """
        ids, masks, word_ids = [], [], []
        for text in check_expressions(expressions):
            encoding = self._backend.encode(text, add_special_tokens=self.special_tokens)
            if encoding.overflowing:
                self._count_truncated(text, encoding)
            words = split_words(text)
            ids.append(encoding.ids)
            masks.append(encoding.attention_mask)
            word_ids.append([
                -1 if special else next((word for word in words[start:end] if word >= 0), -1)
                for (start, end), special in zip(encoding.offsets, encoding.special_tokens_mask)])
            if not any(encoding.attention_mask):  # the backend dropped every character: one unknown word
                ids[-1][0], masks[-1][0], word_ids[-1][0] = self.unk_id, 1, 0
        mask = torch.tensor(masks, dtype=torch.bool)  # B x L
        return TokenizedExpressions(
            ids=torch.tensor(ids), mask=mask, word_ids=torch.tensor(word_ids), lengths=mask.sum(dim=1))

    def _count_truncated(self, text: str, encoding: Encoding) -> None:
        self.num_truncated += 1
        if self.num_truncated > 1:
            return
        num_tokens = self.max_length + sum(
            sum(part.attention_mask) - self._num_special for part in encoding.overflowing)
        shown = text if len(text) <= 80 else text[:80] + '…'
        print_log(
            f'expression {shown!r} has {num_tokens} tokens, only the first max_length={self.max_length} are used; '
            'raise max_length of the text encoder if many are longer. Further ones are counted silently in '
            'tokenizer.num_truncated.', logger='current', level=logging.WARNING)


def read_wordpiece_vocabulary(path: str, *, required: Sequence[str]) -> dict[str, int]:
    """Read a ``vocab.txt``: one token per line, its line number (from 0) is its id.

    Args:
        path: The file, as published with BERT.
        required: Special tokens that must be in it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not UTF-8 text, repeats a token or lacks a required one.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'vocab_file={str(path)!r} does not exist; give the path of a WordPiece vocab.txt')
    vocabulary: dict[str, int] = {}
    try:
        with open(path, encoding='utf-8') as file:
            for line in file:
                token = line.rstrip('\n')
                if token in vocabulary:
                    raise ValueError(f'vocab_file={str(path)!r} has the token {token!r} in lines '
                                     f'{vocabulary[token] + 1} and {len(vocabulary) + 1}; each may occur once')
                vocabulary[token] = len(vocabulary)
    except UnicodeDecodeError as error:
        raise ValueError(f'vocab_file={str(path)!r} is not UTF-8 text: {error}') from None
    missing = [token for token in required if token not in vocabulary]
    if missing:
        raise ValueError(f'vocab_file={str(path)!r} has no line {", ".join(missing)}; a vocabulary needs '
                         f'{", ".join(required)}')
    return vocabulary


def build_wordpiece(vocabulary: dict[str, int], *, special_tokens: bool = True) -> Tokenizer:
    """Lower-casing, accent-stripping WordPiece tokenizer, the same as transformers' ``BertTokenizerFast``.

    Args:
        vocabulary: Token to id, with ``[UNK]`` and, if ``special_tokens``, ``[CLS]`` and ``[SEP]``.
        special_tokens: Whether ``[CLS]`` and ``[SEP]`` are put around an expression.
    """
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token='[UNK]'))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocabulary])
    if special_tokens:
        tokenizer.post_processor = processors.BertProcessing(
            ('[SEP]', vocabulary['[SEP]']), ('[CLS]', vocabulary['[CLS]']))
    return tokenizer
