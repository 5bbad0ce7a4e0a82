"""Find a config by path or by name, and refuse overrides that nothing reads."""
from __future__ import annotations

import difflib
import inspect
import os.path as osp
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

PACKAGE = Path(__file__).resolve().parents[1]
# what the wheel carries (an editable install links it to the checkout), or a checkout that is not installed; this
# order, since another package may have left a folder 'configs' in site-packages
CONFIG_FOLDERS = (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs')
EXTRA_KEYS = ('model', 'work_dir', 'load_from', 'resume', 'custom_imports', 'env_cfg', 'log_level', 'sync_bn',
              'find_unused_parameters', 'model_wrapper_cfg', 'launcher', 'runner_type')


def find_config(name: str) -> Path:
    """Return the path of a config file.

    Args:
        name: Path of a config file, or the name of one that this package carries, with or without ``.py``.

    Raises:
        FileNotFoundError: There is no such file, nor a config of this name; the message holds the closest names.
    """
    if osp.isfile(name):
        return Path(name)
    stem = Path(name).name
    stem = stem[:-3] if stem.endswith('.py') else stem
    for path in list_configs():
        if path.stem == stem:
            return path
    known = sorted(path.stem for path in list_configs())
    close = difflib.get_close_matches(stem, known, n=5, cutoff=0.5) or known
    raise FileNotFoundError(f'no config file {name!r}, and no config of this name in mmseg_ris_kd; did you mean one of '
                            f'these?\n  ' + '\n  '.join(close))


def list_configs() -> list[Path]:
    """Return every config that describes an experiment (``_base_`` files do not), sorted by name."""
    folder = next((folder.resolve() for folder in CONFIG_FOLDERS if folder.is_dir()), None)
    if folder is None:
        return []
    return sorted(path for path in folder.rglob('*.py') if '_base_' not in path.relative_to(folder).parts)


def load_config(name: str, options: dict | None = None) -> Config:
    """Load a config and merge overrides into it.

    Args:
        name: Path or name of a config, see ``find_config``.
        options: Overrides by dotted key, as ``--cfg-options`` gives them.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: A key is misspelt: an override names a section that the config does not have, or the config holds
            a top-level key that nothing reads and that resembles one that is read.
    """
    path = find_config(name)
    config = Config.fromfile(path)
    _check_top_level_keys(config, path)
    if options:
        for key in options:
            _check_override(config, key, path)
        config.merge_from_dict(options)
    config.setdefault('work_dir', osp.join('work_dirs', path.stem))
    return config


def _check_top_level_keys(config: Config, path: Path) -> None:
    known = _known_keys()
    for key in config:
        if key in known or key in ('teacher', 'student'):
            continue
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.9)
        if close and close[0] not in config:
            raise ValueError(f'{path}: unknown key {key!r}; did you mean {close[0]!r}?')


def _check_override(config: Config, key: str, path: Path) -> None:
    """Every part of a dotted key must exist, up to the arguments of a component, which the component checks itself."""
    node, parts = config, key.split('.')
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
            if 'type' in node or part in _known_keys() and i == 0:
                return
            choices = [*node.keys(), *(_known_keys() if i == 0 else ())]
            close = difflib.get_close_matches(part, choices, n=1)
            hint = f'did you mean {".".join([*parts[:i], close[0]])!r}?' if close else f'there are {sorted(node)}'
            raise ValueError(f'--cfg-options {key}: the config {path} has no {part!r}'
                             f'{f" in {where!r}" if where else ""}; {hint}')
        node = node[part]


def _known_keys() -> list[str]:
    return [*inspect.signature(Runner.__init__).parameters, *EXTRA_KEYS]
