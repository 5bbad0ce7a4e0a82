"""Word embeddings and an LSTM or GRU as a text encoder."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmseg_ris_kd.structures import TextFeatures

from .base import BaseTextEncoder, freeze_parameters
from .tokenization import ExpressionTokenizer, TokenizedExpressions, build_wordpiece, read_wordpiece_vocabulary

CELLS = {'LSTM': nn.LSTM, 'GRU': nn.GRU}


@MODELS.register_module()
class RecurrentExpressionEncoder(BaseTextEncoder):
    """Encode expressions with an embedding and a recurrent network, trained from scratch.

    Tokens are BERT's WordPieces without [CLS] and [SEP]; a plain list of words works as well, what it lacks is
    [UNK]. Token features are the states at each token (both directions concatenated), zero at padding; the sentence
    feature is the last real state of each direction in the top layer. Expressions are packed: padding has no
    influence.

    Args:
        vocab_file: One token per line with [PAD] and [UNK] among them, such as BERT's ``vocab.txt``. Text is
            lower-cased and loses its accents.
        embed_dims: Width of the word embeddings.
        hidden_dims: Width of the states of one direction; ``out_channels`` is twice that if ``bidirectional``.
        cell: ``'LSTM'`` or ``'GRU'``.
        num_layers: Number of recurrent layers.
        bidirectional: Whether expressions are also read backwards.
        dropout: Dropout rate on the embeddings and between layers.
        max_length: Number of tokens L that every expression is padded or truncated to.
        frozen: Submodules or parameters that are not trained, such as ``embedding``.
        init_cfg: mmengine's initialisation config; PyTorch's own initialisation is used unless given.

    Raises:
        FileNotFoundError: If there is no vocabulary.
        ValueError: If the vocabulary, ``cell`` or a name in ``frozen`` is invalid.
    """

    def __init__(self, *, vocab_file: str, embed_dims: int = 300, hidden_dims: int = 256, cell: str = 'LSTM',
                 num_layers: int = 1, bidirectional: bool = True, dropout: float = 0.0, max_length: int = 20,
                 frozen: Sequence[str] = (), init_cfg: dict | list | None = None) -> None:
        if cell not in CELLS:
            raise ValueError(f'cell={cell!r} is unknown; choose one of {", ".join(CELLS)}')
        vocabulary = read_wordpiece_vocabulary(vocab_file, required=('[PAD]', '[UNK]'))
        tokenizer = ExpressionTokenizer(
            build_wordpiece(vocabulary, special_tokens=False), max_length=max_length, pad_token='[PAD]',
            unk_token='[UNK]', special_tokens=False)
        super().__init__(tokenizer, out_channels=hidden_dims * (1 + bidirectional), init_cfg=init_cfg)
        self.embedding = nn.Embedding(len(vocabulary), embed_dims, padding_idx=tokenizer.pad_id)
        self.dropout = nn.Dropout(dropout)
        self.rnn = CELLS[cell](
            embed_dims, hidden_dims, num_layers, batch_first=True, bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0)  # PyTorch warns of a dropout between no layers
        freeze_parameters(self, frozen)

    def encode(self, tokens: TokenizedExpressions) -> TextFeatures:
        """Features of B tokenised expressions that are on the device of the parameters already."""
        embedded = self.dropout(self.embedding(tokens.ids))
        packed = pack_padded_sequence(embedded, tokens.lengths, batch_first=True, enforce_sorted=False)
        states, last = self.rnn(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=tokens.ids.shape[1])  # B x L x D
        last = last[0] if isinstance(last, tuple) else last  # LSTM: hidden and cell; (layers * directions) x B x H
        sentence = torch.cat(tuple(last[-1 - self.rnn.bidirectional:]), dim=1)
        return TextFeatures(tokens=states, mask=tokens.mask, word_ids=tokens.word_ids, sentence=sentence)
