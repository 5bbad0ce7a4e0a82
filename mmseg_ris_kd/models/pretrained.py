"""One clear message when pretrained weights cannot be had, or belong to another model."""
from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from mmengine.model import PretrainedInit
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


@contextmanager
def require_pretrained_weights(module: nn.Module, key: str) -> Iterator[None]:
    """Refuse a checkpoint that does not hold all weights of a module, where mmengine warns and keeps the random ones.

    Wrap ``module.init_weights()`` in it. Nothing is required of a module without a Pretrained ``init_cfg``, nor of
    integer buffers (counters, indices), output norms (``norm0`` ... of an encoder that is pretrained to classify) and
    what the module's class lists in ``not_pretrained``, a tuple of name prefixes. Further weights in the checkpoint,
    such as a classifier, are welcome.

    Args:
        module: What is initialized.
        key: Its ``init_cfg`` as a config names it, e.g. ``'model.backbone.init_cfg'``.

    Raises:
        ValueError: The checkpoint lacks weights of the module, has them in another shape, or has none below the prefix
            that ``init_cfg`` names.
    """
    configs = _pretrained_configs(module)
    if len(configs) != 1:
        yield
        return
    source, prefix = configs[0].get('checkpoint'), configs[0].get('prefix')
    name = type(module).__name__
    fix = (f"it belongs to a model of another kind or size, or names its weights otherwise ({key}.prefix='backbone' "
           "reads those of a whole model; MMSegmentation's tools/model_converters convert other projects' files). "
           f'Give the file of a {name} of this size, or train from scratch with {key}=None')
    required = {entry for entry, value in module.state_dict().items()
                if value.is_floating_point() and not re.match(r'norm\d+\.', entry)
                and not entry.startswith(getattr(module, 'not_pretrained', ()))}
    seen = dict(prefix=None, errors=[])

    def note(state_dict, prefix, metadata, strict, missing, unexpected, errors):  # the signature is torch's
        seen.update(prefix=prefix, errors=errors)

    def check(module, keys):
        if seen['prefix']:
            return  # loaded as a part of a whole model: not this init_cfg
        missing = [entry for entry in keys.missing_keys if entry in required]
        if missing:
            raise ValueError(f'{source} ({key}.checkpoint) lacks {len(missing)} of the {len(required)} weights of this '
                             f'{name}, the first being {missing[0]}: {fix}')
        if seen['errors']:
            raise ValueError(f'{source} ({key}.checkpoint) has {len(seen["errors"])} weights that do not fit this '
                             f'{name}, the first: {seen["errors"][0].strip()}: {fix}')

    handles = [module._register_load_state_dict_pre_hook(note), module.register_load_state_dict_post_hook(check)]
    try:
        yield
    except AssertionError as error:
        if prefix is None or str(error) != f'{prefix.rstrip(".")}. is not in the pretrained model':
            raise
        raise ValueError(f'{source} ({key}.checkpoint) has no weights below {key}.prefix={prefix!r}: {fix}') from None
    finally:
        for handle in handles:
            handle.remove()


def pretrained_sources(module: nn.Module, key: str = 'model') -> dict[str, str]:
    """Return the checkpoints that ``module.init_weights()`` will load, by the ``init_cfg`` that names them.

    Args:
        module: What is initialized.
        key: The module as a config names it; ``'model'`` gives keys such as ``'model.backbone.init_cfg'``.
    """
    return {f'{key}.{name}.init_cfg' if name else f'{key}.init_cfg': str(config.get('checkpoint'))
            for name, child in module.named_modules() for config in _pretrained_configs(child)}


def _pretrained_configs(module: nn.Module) -> list[dict]:
    init_cfg = getattr(module, 'init_cfg', None)
    configs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    return [config for config in configs if config.get('type') in ('Pretrained', PretrainedInit)]


def inference_model(model: dict) -> dict:
    """Return the config of the model that a checkpoint is loaded into to be tested: no weights are fetched for it.

    Of a distiller that is its student; a checkpoint that is loaded strictly brings all weights, so that only configs
    and tokenizers are still read.
    """
    model = model['student'] if 'student' in model else model
    model = {key: dict(value) if isinstance(value, dict) else value for key, value in model.items()}
    model['backbone'].pop('init_cfg', None)
    if model['text_encoder'].get('pretrained'):
        model['text_encoder']['load_weights'] = False
    return model
