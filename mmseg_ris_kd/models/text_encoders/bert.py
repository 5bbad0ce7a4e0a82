"""BERT and its relatives as text encoders."""
from __future__ import annotations

import inspect
from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import nn

from mmseg_ris_kd.structures import TextFeatures

from .base import BaseTextEncoder, check_config, freeze_parameters
from .hub import load_model, load_pretrained, quiet_transformers
from .tokenization import ExpressionTokenizer, TokenizedExpressions, build_wordpiece, read_wordpiece_vocabulary


@MODELS.register_module()
class BertExpressionEncoder(BaseTextEncoder):
    """Encode expressions with `BERT <https://arxiv.org/abs/1810.04805>`_ or another encoder of transformers.

    Token features are the last hidden state, the sentence feature is that of the first token ([CLS]). There is no
    pooler: bert-base-uncased has 108.89 M parameters, as in LAVT. Dropout follows ``train()``, frozen parts included,
    as in LAVT.

    Args:
        pretrained: Name on the Hugging Face hub (``bert-base-uncased``, ``google/bert_uncased_L-4_H-256_A-4``,
            ``distilroberta-base``, ...) or a local folder with config, tokenizer and weights. What is cached is used
            without asking the hub.
        config: Instead of ``pretrained``: values of transformers' ``BertConfig``, for training from scratch.
            ``vocab_size`` is the vocabulary's size unless given.
        vocab_file: WordPiece ``vocab.txt`` that belongs to ``config``. Text is lower-cased and loses its accents.
        max_length: Number of tokens L that every expression is padded or truncated to, [CLS] and [SEP] included.
        frozen: Submodules or parameters of ``self.model`` that are not trained. LAVT's recipe for bert-base-uncased:
            ``('embeddings', 'encoder.layer.10', 'encoder.layer.11')``.
        load_weights: False builds the architecture of ``pretrained`` with random weights, which needs its config and
            tokenizer only: for a model whose checkpoint is loaded afterwards.
        init_cfg: mmengine's initialisation config; not needed.

    Raises:
        FileNotFoundError: If the pretrained model or the vocabulary cannot be found.
        ValueError: If the arguments contradict each other, or a name in ``config`` or ``frozen`` is unknown.
    """

    def __init__(self, *, pretrained: str | None = None, config: dict | None = None,
                 vocab_file: str | None = None, max_length: int = 20, frozen: Sequence[str] = (),
                 load_weights: bool = True, init_cfg: dict | list | None = None) -> None:
        if (pretrained is None) == (config is None) or (config is None) != (vocab_file is None):
            raise ValueError('BertExpressionEncoder needs either pretrained, or config and vocab_file, but got '
                             f'pretrained={pretrained!r}, config={config!r}, vocab_file={vocab_file!r}')
        if pretrained is not None:
            tokenizer, model = load_pretrained(
                pretrained, lambda local: _load(pretrained, max_length, load_weights, local))
        else:
            tokenizer, model = _build(config, vocab_file, max_length)
        check_sizes(tokenizer, model.config)
        super().__init__(tokenizer, out_channels=model.config.hidden_size, init_cfg=init_cfg)
        self.model = model.train()  # transformers hands out loaded models in eval mode
        self.model.is_init = True  # or mmengine calls its init_weights(), which draws random weights
        freeze_parameters(self.model, frozen)

    def encode(self, tokens: TokenizedExpressions) -> TextFeatures:
        """Features of B tokenised expressions that are on the device of the parameters already."""
        hidden = self.model(input_ids=tokens.ids, attention_mask=tokens.mask.long())[0]  # B x L x D
        return TextFeatures(tokens=hidden, mask=tokens.mask, word_ids=tokens.word_ids, sentence=hidden[:, 0])


def check_sizes(tokenizer: ExpressionTokenizer, config) -> None:
    """Check that a tokenizer's ids and length fit the embeddings of a transformers config.

    Raises:
        ValueError: If there are more tokens than embeddings, or more positions than position embeddings.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(f'the vocabulary has {tokenizer.vocab_size} tokens, but vocab_size={config.vocab_size} in '
                         'the config; raise vocab_size or use the vocabulary the config was made for')
    positions = getattr(config, 'max_position_embeddings', tokenizer.max_length)
    if tokenizer.max_length > positions:
        raise ValueError(f'max_length={tokenizer.max_length} exceeds the {positions} positions of the text encoder '
                         '(max_position_embeddings)')


def _build(config: dict, vocab_file: str, max_length: int) -> tuple[ExpressionTokenizer, nn.Module]:
    from transformers import BertConfig, BertModel  # slow to import: only when such an encoder is built
    vocabulary = read_wordpiece_vocabulary(vocab_file, required=('[PAD]', '[UNK]', '[CLS]', '[SEP]'))
    values = dict(vocab_size=len(vocabulary), pad_token_id=vocabulary['[PAD]'])
    values.update(check_config(config, list(BertConfig().to_dict())))
    tokenizer = ExpressionTokenizer(
        build_wordpiece(vocabulary), max_length=max_length, pad_token='[PAD]', unk_token='[UNK]')
    return tokenizer, BertModel(BertConfig(**values), add_pooling_layer=False)


def _load(name: str, max_length: int, load_weights: bool, local: bool) -> tuple[ExpressionTokenizer, nn.Module]:
    from transformers import MODEL_MAPPING, AutoConfig, AutoTokenizer, BertConfig
    with quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(name, local_files_only=local)
        except ValueError as error:  # the config of the small BERTs names no model type
            if 'model_type' not in str(error):
                raise
            config = BertConfig.from_pretrained(name, local_files_only=local)
        if type(config) not in MODEL_MAPPING or config.is_encoder_decoder:
            raise ValueError(f'pretrained={name!r} is a {config.model_type!r} model, not a text encoder like BERT')
        try:
            loaded = AutoTokenizer.from_pretrained(name, config=config, use_fast=True, local_files_only=local)
        except (TypeError, ValueError) as error:  # transformers 4 with a missing vocabulary
            raise OSError(f'its tokenizer cannot be built ({error})') from None
        if 2 * len(loaded) < config.vocab_size:  # transformers 5 with a missing vocabulary
            raise OSError(f'its tokenizer has {len(loaded)} of {config.vocab_size} tokens: are its files missing?')
        tokenizer = ExpressionTokenizer(
            loaded.backend_tokenizer, max_length=max_length, pad_token=loaded.pad_token, unk_token=loaded.unk_token)
        model_class = MODEL_MAPPING[type(config)]
        no_pooler = 'add_pooling_layer' in inspect.signature(model_class.__init__).parameters
        options = dict(add_pooling_layer=False) if no_pooler else {}
        if not load_weights:
            return tokenizer, model_class(config, **options)
        return tokenizer, load_model(model_class, name, config, local_files_only=local, options=options)
