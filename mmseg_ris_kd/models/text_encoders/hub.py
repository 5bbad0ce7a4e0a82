"""Pretrained transformers models from a folder, the cache or the hub; one clear error when none of them has it."""
from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Iterator
from typing import Callable, TypeVar

from torch import nn

Loaded = TypeVar('Loaded')

_WAYS_ON = (
    'To go on: name a local folder with the model\'s config, tokenizer and weights, '
    '--cfg-options model.text_encoder.pretrained=/path/to/folder; or copy the Hugging Face cache of a connected '
    'machine and set HF_HUB_OFFLINE=1; or build from scratch with model.text_encoder.config=dict(...) and '
    'vocab_file=... instead of pretrained')


def load_pretrained(name: str, load: Callable[[bool], Loaded]) -> Loaded:
    """Call ``load(local_files_only)``: first with True, then with False if the hub answers.

    What is cached is used without asking the hub, and an unreachable hub is noticed within seconds where
    transformers would retry for a minute.

    Args:
        name: Folder, or model name on the hub.
        load: Loads the model; raises OSError when a file is missing.

    Raises:
        FileNotFoundError: If the folder is incomplete, or the model is neither cached nor to be had from the hub.
    """
    if os.path.isdir(name):
        return _attempt(lambda: load(True), f'pretrained={name!r} is a folder that holds no complete model')
    if name.startswith(('/', './', '../', '~')) or name.count('/') > 1:
        raise FileNotFoundError(f'pretrained={name!r} is not an existing folder. {_WAYS_ON}')

    from huggingface_hub import constants  # slow to import: only when a model is asked for
    try:
        return load(True)
    except OSError:
        pass  # not (completely) in the cache
    where = f'pretrained={name!r} is no folder and not in the Hugging Face cache'
    if constants.HF_HUB_OFFLINE:
        raise FileNotFoundError(f'{where}, and HF_HUB_OFFLINE forbids to download it. {_WAYS_ON}')
    if not _hub_answers(constants.ENDPOINT):
        raise FileNotFoundError(f'{where}, and the hub {constants.ENDPOINT} cannot be reached. {_WAYS_ON}')
    return _attempt(lambda: load(False), f'{where}, and cannot be loaded from the hub {constants.ENDPOINT}')


def load_model(model_class: type, name: str, config: object, *, local_files_only: bool, options: dict) -> nn.Module:
    """Load a transformers model with all its weights, in float32.

    Args:
        model_class: Model class of transformers.
        name: Folder, or model name on the hub.
        config: The model's config.
        local_files_only: Whether the hub is left out.
        options: Further arguments of the model's constructor.

    Raises:
        OSError: If a file is missing or unreadable.
        ValueError: If the weights do not fit or lack parameters, which transformers would initialise at random.
    """
    from safetensors import SafetensorError
    try:
        model, info = model_class.from_pretrained(
            name, config=config, local_files_only=local_files_only, output_loading_info=True, **options)
    except (SafetensorError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise OSError(f'its weights are missing or cannot be read ({_first_line(error)})') from None
    except RuntimeError as error:
        raise ValueError(f'the weights of pretrained={name!r} do not fit its config: '
                         f'{_first_line(error)}') from None
    missing = sorted(info['missing_keys'])
    if missing:
        raise ValueError(f'the weights of pretrained={name!r} lack {len(missing)} parameters of '
                         f'{model_class.__name__}, the first is {missing[0]!r}: it is the checkpoint of another model')
    return model.float()  # the argument that asks for it is torch_dtype or dtype, by the version of transformers


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' reports on unused checkpoint entries (heads, poolers): nothing there can be acted on."""
    from transformers.utils import logging
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _attempt(load: Callable[[], Loaded], problem: str) -> Loaded:
    try:
        return load()
    except OSError as error:
        reason = _first_line(error)
    raise FileNotFoundError(f'{problem}: {reason}. {_WAYS_ON}')


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip('.')


def _hub_answers(endpoint: str) -> bool:
    from huggingface_hub.utils import get_session
    try:
        get_session().head(endpoint, timeout=5)
    except Exception:  # requests' or httpx' errors, by the version of huggingface_hub
        return False
    return True
