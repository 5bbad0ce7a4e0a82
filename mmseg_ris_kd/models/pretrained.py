"""One clear message when pretrained weights cannot be had."""
from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from torch import nn

_UNREACHABLE = (OSError, HTTPException, EOFError, pickle.UnpicklingError)
# torch reports a truncated archive and a wrong download hash as plain RuntimeError
_BROKEN_FILE = ('PytorchStreamReader', 'invalid hash value', 'unexpected EOF')


class MissingWeightsError(FileNotFoundError):
    """Pretrained weights that could not be found, downloaded or read."""


@contextmanager
def explain_missing_weights(component: str,
                            source: str | None = None,
                            *,
                            option: str = 'init_cfg.checkpoint',
                            scratch: str = 'init_cfg=None') -> Iterator[None]:
    """Turn any failure to find, download or read pretrained weights into one ``MissingWeightsError``.

    Wrap the loading of weights in it; may be nested, the innermost explanation stays::

        with explain_missing_weights('backbone (ResNet)', 'torchvision://resnet18'):
            backbone.init_weights()

    Args:
        component: What the weights are for, as a config names it, e.g. ``'backbone (LanguageAwareSwin)'``.
        source: Where the weights were looked for: a path, a URL or a hub name; ``pretrained_sources`` finds those of
            a module. None: only the cause tells.
        option: The config key that takes a local path to the weights.
        scratch: The config setting that goes on without them.

    Raises:
        MissingWeightsError: The weights could not be had. The message names the component, the source, the cause and
            the two ways to go on. Errors of another kind, such as weights of another shape, pass unchanged.
    """
    try:
        yield
        return
    except MissingWeightsError:
        raise
    except _UNREACHABLE as error:
        cause = error
    except RuntimeError as error:
        if not any(text in str(error) for text in _BROKEN_FILE):
            raise
        cause = error
    first_line = (str(cause).strip() or 'no further details').splitlines()[0]
    raise MissingWeightsError(
        f'Cannot load the pretrained weights of the {component}' + (f' from {source}' if source else '') +
        f' ({type(cause).__name__}: {first_line}).\n'
        f'  - To use them, download the file by hand where the network allows it and set {option} to its local path.\n'
        f'  - To go on without them and train from scratch, set {scratch}.') from None


def pretrained_sources(module: nn.Module) -> list[str]:
    """Return the checkpoints that ``module.init_weights()`` will load, as ``'<submodule>: <checkpoint>'``."""
    sources = []
    for name, child in module.named_modules():
        init_cfg = getattr(child, 'init_cfg', None)
        for config in [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []:
            if config.get('type') == 'Pretrained':
                sources.append(f'{name or type(child).__name__}: {config.get("checkpoint")}')
    return sources
