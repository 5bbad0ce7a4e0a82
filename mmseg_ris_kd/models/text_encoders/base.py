"""What all text encoders share."""
from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from difflib import get_close_matches

from mmengine.model import BaseModule
from torch import nn

from mmseg_ris_kd.structures import TextFeatures

from .tokenization import ExpressionTokenizer, TokenizedExpressions


class BaseTextEncoder(BaseModule, metaclass=ABCMeta):
    """Expressions in, token and sentence features out.

    A subclass builds its layers, sets ``tokenizer`` and ``out_channels`` and computes features in :meth:`encode`.
    The tokenizer is no part of the state dict and survives copying and pickling.

    Args:
        tokenizer: Tokenizer that pads and truncates every expression to one length L.
        out_channels: Width D of the token features.
        init_cfg: mmengine's initialisation config, usually None.
    """

    def __init__(self, tokenizer: ExpressionTokenizer, *, out_channels: int,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.tokenizer = tokenizer
        self.out_channels = out_channels

    @property
    def max_length(self) -> int:
        """Number of tokens L of every expression, special and padding tokens included."""
        return self.tokenizer.max_length

    def tokenize(self, expressions: Sequence[str]) -> TokenizedExpressions:
        """Token ids, mask and word ids of B expressions, on the CPU.

        Raises:
            TypeError: If ``expressions`` is not a list of strings.
            ValueError: If an expression has no visible character.
        """
        return self.tokenizer(expressions)

    def forward(self, expressions: Sequence[str]) -> TextFeatures:
        """Features of B expressions, on the device of the parameters.

        Raises:
            TypeError: If ``expressions`` is not a list of strings.
            ValueError: If an expression has no visible character.
        """
        return self.encode(self.tokenize(expressions).to(next(self.parameters()).device))

    @abstractmethod
    def encode(self, tokens: TokenizedExpressions) -> TextFeatures:
        """Features of B tokenised expressions that are on the device of the parameters already."""


def freeze_parameters(module: nn.Module, frozen: Sequence[str]) -> None:
    """Exclude parts of a module from training.

    Args:
        module: The module.
        frozen: Names of submodules or parameters of ``module``. ``layer.1`` does not mean ``layer.10``.

    Raises:
        TypeError: If ``frozen`` is one string.
        ValueError: If a name matches no parameter.
    """
    if isinstance(frozen, str):
        raise TypeError(f'frozen must be a list of names, but got the string {frozen!r}; write frozen=({frozen!r},)')
    for prefix in frozen:
        parameters = [parameter for name, parameter in module.named_parameters()
                      if name == prefix or name.startswith(f'{prefix}.')]
        if not parameters:
            names = [name for name, child in module.named_modules()
                     if name and name.count('.') < 3 and next(child.parameters(), None) is not None]
            raise ValueError(f'frozen has {prefix!r}, which is no part of {type(module).__name__}; valid names are '
                             f'{", ".join(names)}, or a name below one of them')
        for parameter in parameters:
            parameter.requires_grad_(False)


def check_config(config: dict, known: Sequence[str]) -> dict:
    """Return ``config`` if all its keys are known.

    Raises:
        TypeError: If ``config`` is no dict.
        ValueError: If a key is unknown, which transformers would silently accept.
    """
    if not isinstance(config, dict):
        raise TypeError(f'config must be a dict, but got {type(config).__name__} {config!r:.80}')
    for key in config:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f'did you mean {close[0]!r}?' if close else f'known keys are {", ".join(sorted(known))}'
            raise ValueError(f'config of the text encoder has the unknown key {key!r}; {hint}')
    return config
