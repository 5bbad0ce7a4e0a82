"""Vocabularies of a few lines that can spell anything, so that no test needs a download."""
from __future__ import annotations

import json
import string
from pathlib import Path

import pytest

WORDS = ['man', 'left', 'from', 'shirt', 'dog', 'row', 'cafe', '##nd', 'the']
START, END = '<|startoftext|>', '<|endoftext|>'


@pytest.fixture(scope='session')
def bert_vocab(tmp_path_factory) -> str:
    """WordPiece vocab.txt: a few words and every lower-case letter, digit and ASCII punctuation mark."""
    path = tmp_path_factory.mktemp('bert') / 'vocab.txt'
    characters = string.ascii_lowercase + string.digits
    lines = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS, *characters, *string.punctuation]
    path.write_text('\n'.join(lines + [f'##{c}' for c in characters]) + '\n', encoding='utf-8')
    return str(path)


@pytest.fixture(scope='session')
def byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes in byte-level BPE vocabularies, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


@pytest.fixture(scope='session')
def clip_vocab(tmp_path_factory, byte_symbols) -> tuple[str, str]:
    """CLIP's vocab.json and merges.txt: the bytes and three merges."""
    folder: Path = tmp_path_factory.mktemp('clip')
    merges = ['a n</w>', 'm an</w>', "' s</w>"]
    tokens = byte_symbols + [f'{symbol}</w>' for symbol in byte_symbols]
    tokens += [merge.replace(' ', '') for merge in merges] + [START, END]
    (folder / 'vocab.json').write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding='utf-8')
    (folder / 'merges.txt').write_text('#version: 0.2\n' + '\n'.join(merges) + '\n', encoding='utf-8')
    return str(folder / 'vocab.json'), str(folder / 'merges.txt')


@pytest.fixture
def tiny_bert() -> dict:
    """BertConfig values of a BERT that is as small as can be."""
    return dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)


@pytest.fixture
def tiny_clip() -> dict:
    """CLIPTextConfig values of a CLIP that is as small as can be."""
    return dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
