"""CLIP's text transformer as a text encoder."""
from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_ris_kd.structures import TextFeatures

from .base import BaseTextEncoder, check_config, freeze_parameters
from .bert import check_sizes
from .hub import load_model, load_pretrained, quiet_transformers
from .tokenization import ExpressionTokenizer, TokenizedExpressions

START, END = '<|startoftext|>', '<|endoftext|>'


@MODELS.register_module()
class CLIPExpressionEncoder(BaseTextEncoder):
    """Encode expressions with the text transformer of `CLIP <https://arxiv.org/abs/2103.00020>`_.

    Token features are the last hidden state after the final layer norm. The sentence feature is that of the
    end-of-text token, *without* CLIP's projection into the space shared with images.

    Args:
        pretrained: Name on the Hugging Face hub (``openai/clip-vit-base-patch16``, ...) or a local folder with
            config, tokenizer and weights of a CLIP model or of its text part. What is cached is used without asking
            the hub.
        config: Instead of ``pretrained``: values of transformers' ``CLIPTextConfig``, for training from scratch.
            ``vocab_size`` and the special tokens' ids are the vocabulary's unless given.
        vocab_file: ``vocab.json`` that belongs to ``config``.
        merges_file: ``merges.txt`` that belongs to ``config``.
        max_length: Number of tokens L that every expression is padded or truncated to, start and end of text
            included. CRIS uses 17 for RefCOCO; CLIP has positions for 77.
        frozen: Submodules or parameters of ``self.model`` that are not trained, such as ``embeddings`` or
            ``encoder.layers.0``.
        load_weights: False builds the architecture of ``pretrained`` with random weights, which needs its config and
            tokenizer only: for a model whose checkpoint is loaded afterwards.
        init_cfg: mmengine's initialisation config; not needed.

    Raises:
        FileNotFoundError: If the pretrained model or a vocabulary file cannot be found.
        ValueError: If the arguments contradict each other, or a name in ``config`` or ``frozen`` is unknown.
    """

    def __init__(self, *, pretrained: str | None = None, config: dict | None = None,
                 vocab_file: str | None = None, merges_file: str | None = None, max_length: int = 17,
                 frozen: Sequence[str] = (), load_weights: bool = True,
                 init_cfg: dict | list | None = None) -> None:
        from_scratch = [value is not None for value in (config, vocab_file, merges_file)]
        if any(from_scratch) != all(from_scratch) or (pretrained is None) != all(from_scratch):
            raise ValueError('CLIPExpressionEncoder needs either pretrained, or config, vocab_file and merges_file, '
                             f'but got pretrained={pretrained!r}, config={config!r}, vocab_file={vocab_file!r}, '
                             f'merges_file={merges_file!r}')
        if pretrained is not None:
            tokenizer, model = load_pretrained(
                pretrained, lambda local: _load(pretrained, max_length, load_weights, local))
        else:
            tokenizer, model = _build(config, vocab_file, merges_file, max_length)
        check_sizes(tokenizer, model.config)
        super().__init__(tokenizer, out_channels=model.config.hidden_size, init_cfg=init_cfg)
        # transformers 4 wraps the transformer, 5 does not: one set of parameter names for both
        self.model = getattr(model, 'text_model', model).train()
        self.model.is_init = True  # or mmengine calls its init_weights(), which draws random weights
        freeze_parameters(self.model, frozen)

    def encode(self, tokens: TokenizedExpressions) -> TextFeatures:
        """Features of B tokenised expressions that are on the device of the parameters already."""
        hidden = self.model(input_ids=tokens.ids, attention_mask=tokens.mask.long())[0]  # B x L x D
        last = tokens.mask.sum(dim=1) - 1  # the end of text is the last real token, truncated or not
        sentence = hidden[torch.arange(len(hidden), device=hidden.device), last]
        return TextFeatures(tokens=hidden, mask=tokens.mask, word_ids=tokens.word_ids, sentence=sentence)


def _build(config: dict, vocab_file: str, merges_file: str, max_length: int) -> tuple[ExpressionTokenizer, nn.Module]:
    from transformers import CLIPTextConfig, CLIPTextModel  # slow to import: only when such an encoder is built
    for name, path in (('vocab_file', vocab_file), ('merges_file', merges_file)):
        if not Path(path).is_file():
            raise FileNotFoundError(f'{name}={str(path)!r} does not exist; give the path of CLIP\'s '
                                    f'{"vocab.json" if name == "vocab_file" else "merges.txt"}')
    try:
        vocabulary = json.loads(Path(vocab_file).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'vocab_file={str(vocab_file)!r} is not a JSON file: {error}') from None
    if not isinstance(vocabulary, dict) or START not in vocabulary or END not in vocabulary:
        raise ValueError(f'vocab_file={str(vocab_file)!r} must map tokens to ids, {START} and {END} among them')
    with tempfile.TemporaryDirectory() as folder:  # the one way in that is the same for transformers 4 and 5
        shutil.copy(vocab_file, Path(folder, 'vocab.json'))
        shutil.copy(merges_file, Path(folder, 'merges.txt'))
        tokenizer = _load_tokenizer(folder, max_length, True)
    values = dict(vocab_size=tokenizer.vocab_size, bos_token_id=vocabulary[START], eos_token_id=vocabulary[END],
                  pad_token_id=vocabulary[END])
    values.update(check_config(config, list(CLIPTextConfig().to_dict())))
    return tokenizer, CLIPTextModel(CLIPTextConfig(**values))


def _load(name: str, max_length: int, load_weights: bool, local: bool) -> tuple[ExpressionTokenizer, nn.Module]:
    from transformers import CLIPTextConfig, CLIPTextModel
    with quiet_transformers():
        config = CLIPTextConfig.from_pretrained(name, local_files_only=local)
        tokenizer = _load_tokenizer(name, max_length, local)
        if 2 * tokenizer.vocab_size < config.vocab_size:  # transformers 5 with a missing vocabulary
            raise OSError(f'its tokenizer has {tokenizer.vocab_size} of {config.vocab_size} tokens: files missing?')
        if not load_weights:
            return tokenizer, CLIPTextModel(config)
        return tokenizer, load_model(CLIPTextModel, name, config, local_files_only=local, options={})


def _load_tokenizer(name: str, max_length: int, local: bool) -> ExpressionTokenizer:
    from transformers import CLIPTokenizerFast
    with quiet_transformers():
        try:
            loaded = CLIPTokenizerFast.from_pretrained(name, local_files_only=local)
        except (TypeError, ValueError) as error:  # transformers 4 with a missing vocabulary
            raise OSError(f'its tokenizer cannot be built ({error})') from None
    return ExpressionTokenizer(
        loaded.backend_tokenizer, max_length=max_length, pad_token=loaded.pad_token, unk_token=loaded.unk_token)
