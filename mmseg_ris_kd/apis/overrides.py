"""Refuse overrides of a config that nothing reads."""
from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed
from mmseg.registry import LOOPS, MODELS, TASK_UTILS
from torch.utils.data import DataLoader

from ..models.losses import (
    ChannelRelationLoss,
    ChannelWordRelationLoss,
    CMKDLoss,
    DistillationLoss,
    PixelWordCorrelationLoss,
    WeightSchedule,
)

# top-level keys that mmengine, mmseg's tools and ours read; Runner names most of them
KNOWN_KEYS = (*inspect.signature(Runner.__init__).parameters, 'sync_bn', 'find_unused_parameters', 'model_wrapper_cfg',
              'custom_imports', 'runner_type')
# sections without a ``type`` whose keys are the arguments of a function
ARGUMENTS = {
    'randomness': set_random_seed,
    'train_dataloader': DataLoader.__init__,
    'val_dataloader': DataLoader.__init__,
    'test_dataloader': DataLoader.__init__,
}
LOOP_SECTIONS = ('train_cfg', 'val_cfg', 'test_cfg')
# sections of a distillation loss without a ``type``, and what they hold the arguments of
LOSS_SECTIONS = {
    (CMKDLoss, 'pixel_word'): PixelWordCorrelationLoss,
    (CMKDLoss, 'channel'): ChannelRelationLoss,
    (CMKDLoss, 'channel_word'): ChannelWordRelationLoss,
    (DistillationLoss, 'schedule'): WeightSchedule,
}


def check_override(config: Config, key: str, path: Path) -> None:
    """Refuse a dotted key that leads nowhere in a config, up to the arguments of a component.

    Args:
        config: The config before overrides are merged into it.
        key: The key of an override.
        path: Where the config is from, for the error.

    Raises:
        ValueError: A part of the key does not exist.
    """
    node, parts = config, key.split('.')
    if parts[0] not in KNOWN_KEYS:
        hint = '--data-root sets it for every dataset' if key == 'data_root' else _suggestion(parts[0], KNOWN_KEYS, [])
        raise ValueError(f'--cfg-options {key}: nothing reads {parts[0]!r} after the config is loaded; {hint}')
    for i, part in enumerate(parts):
        where = '.'.join(parts[:i])
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(f'--cfg-options {key}: {where!r} is a list of {len(node)} items, so {part!r} must be '
                                 f'an index below that (config {path})')
            node = node[int(part)]
            continue
        if not hasattr(node, 'keys'):
            return  # replaces a plain value by a dict: the reader of that value checks it
        if part not in node:
            readable = _arguments(node, where)
            # a component checks its arguments, those that are dicts as well: see check_component, or when it is built
            component = any('type' in _entry(config, parts[:j]) for j in range(1, i + 1))
            unchecked = component and not (readable and where in LOOP_SECTIONS)
            if i == 0 or unchecked or part in readable or where == 'default_hooks':
                return
            raise ValueError(f'--cfg-options {key}: the config {path} has no {part!r} in {where!r}; '
                             f'{_suggestion(part, {*node, *readable}, parts[:i])}')
        node = node[part]


def check_component(config: Config, key: str, path: Path) -> None:
    """Refuse a dotted key to an argument that a component of the model does not have, or to an unknown component.

    Args:
        config: The config with all overrides merged into it.
        key: The key of an override; what is not below ``model`` passes.
        path: Where the config is from, for the error.

    Raises:
        ValueError: A component on the way is not registered or does not take the argument, or a distillation loss has
            no type.
    """
    parts, component = key.split('.'), None
    if parts[0] != 'model':
        return
    for i in range(1, len(parts)):
        node, section, part, where = _entry(config, parts[:i]), parts[i - 1], parts[i], '.'.join(parts[:i])
        if section.endswith('_cfg'):
            return  # norm_cfg, init_cfg, ...: their readers take more than the type's arguments
        if not hasattr(node, 'keys'):
            continue
        if where == 'model.distill_losses' and node.get(part) is not None and not _has_type(node[part]):
            losses = [name for name, loss in node.items() if _has_type(loss)]
            raise ValueError(f'--cfg-options {key}: the config {path} has no loss {part!r} in {where!r}; '
                             f'{_suggestion(part, losses, parts[:i])} (to add a loss, set {where}.{part}.type as '
                             f'well, one of {_loss_types()})')
        component = _component(node, section, component)
        if part == 'type' and component is None:
            close = difflib.get_close_matches(str(node.type), [*MODELS.module_dict, *MODELS.parent.module_dict], n=1)
            hint = f'did you mean {close[0]!r}?' if close else 'custom_imports imports the module that registers it'
            raise ValueError(f'--cfg-options {key}={node.type}: no component of this name is registered; {hint}')
        arguments = [] if part in ('type', '_scope_', '_delete_') else _parameters(component)
        if arguments and part not in arguments:
            inner = [f'{name}.{part}' for name, child in node.items() if hasattr(child, 'keys') and part in child]
            close = [f"'{where}.{name}'" for name in inner or difflib.get_close_matches(part, arguments, n=1)]
            hint = f'; did you mean {" or ".join(close)}?' if close else ''
            raise ValueError(f'--cfg-options {key}: {component.__name__}, which reads {where!r} of the config {path}, '
                             f'has no argument {part!r}, only {arguments}{hint}')


def _component(node: dict, section: str, owner: Callable | None) -> Callable | None:
    """What is built from a section of the model, which lies in that of ``owner``; None if it is not known."""
    if not _has_type(node):
        return next((reader for (loss, name), reader in LOSS_SECTIONS.items()
                     if name == section and inspect.isclass(owner) and issubclass(owner, loss)), None)
    name = node['type']
    return (MODELS.get(name) or TASK_UTILS.get(name)) if isinstance(name, str) else name


def _has_type(node: object) -> bool:
    return hasattr(node, 'keys') and 'type' in node


def _loss_types() -> list[str]:
    return sorted(name for name, item in MODELS.module_dict.items()
                  if inspect.isclass(item) and issubclass(item, DistillationLoss))


def _entry(config: Config, parts: list[str]) -> object:
    for part in parts:
        config = config[int(part)] if isinstance(config, (list, tuple)) else config[part]
    return config


def _arguments(node: dict, where: str) -> list[str]:
    """Names that a section without a ``type``, or a loop, can hold beside those it has; empty if that is not known."""
    reader = LOOPS.get(node.get('type', '')) if where in LOOP_SECTIONS else ARGUMENTS.get(where)
    return _parameters(reader)


def _parameters(reader: Callable | None) -> list[str]:
    """Names of the arguments that a config can give to a function or class; empty if it is unknown or takes any."""
    parameters = inspect.signature(reader).parameters.values() if reader else ()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return []
    return [parameter.name for parameter in parameters if parameter.name not in ('self', 'runner', 'dataloader')]


def _suggestion(part: str, choices: Iterable[str], parents: list[str]) -> str:
    close = difflib.get_close_matches(part, sorted(choices), n=1)
    return f'did you mean {".".join([*parents, close[0]])!r}?' if close else f'there are {sorted(choices)}'
