"""Find a config by path or by name."""
from __future__ import annotations

import difflib
import os.path as osp
from itertools import groupby
from pathlib import Path

from mmengine.config import Config

from .overrides import KNOWN_KEYS, check_component, check_override

PACKAGE = Path(__file__).resolve().parents[1]
# what the wheel carries (an editable install links it to the checkout), or a checkout that is not installed; this
# order, since another package may have left a folder 'configs' in site-packages
CONFIG_FOLDERS = (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs')


def find_config(name: str) -> Path:
    """Return the path of a config file.

    Args:
        name: Path of a config file, or the name of one that this package carries, with or without ``.py``. A path that
            starts with ``configs/`` is found from any folder.

    Raises:
        FileNotFoundError: There is no such file, nor a config of this name; the message holds the closest names.
    """
    if osp.isfile(name):
        return Path(name)
    path = Path(name)
    stem = path.name[:-3] if path.name.endswith('.py') else path.name
    known = {config.stem: config for config in list_configs()}
    if stem in known and (len(path.parts) == 1 or path.parts[0] == 'configs'):
        return known[stem]
    close = [stem] if stem in known else _close_names(stem) or sorted(known)
    raise FileNotFoundError(f'there is no config file {name!r}; configs of this package that can be named:\n  ' +
                            '\n  '.join(close))


def _close_names(stem: str) -> list[str]:
    """Names of configs like ``stem``, the closest first: up to three of every family, which is a folder."""
    families = [[path.stem for path in group] for _, group in groupby(list_configs(), key=lambda path: path.parent)]
    close = [name for family in families for name in difflib.get_close_matches(stem, family, cutoff=0.4)]
    return difflib.get_close_matches(stem, close, n=max(1, len(close)), cutoff=0)


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
        ValueError: A key is misspelt: an override names a section that the config does not have, or a component or
            argument that the model does not, or the config holds a top-level key that nothing reads and that
            resembles one that is read.
    """
    path = find_config(name)
    try:
        config = Config.fromfile(path)
    except SyntaxError as error:
        raise ValueError(f'{path} or a config it inherits is not valid Python: {error}') from error
    _check_top_level_keys(config, path)
    if options:
        for key in options:
            check_override(config, key, path)
        config.merge_from_dict(options)
        for key in options:
            check_component(config, key, path)
    config.setdefault('work_dir', osp.join('work_dirs', path.stem))
    return config


def _check_top_level_keys(config: Config, path: Path) -> None:
    """Refuse a key that nothing reads and that looks like one that is read; other unknown keys are variables."""
    for key in config:
        close = difflib.get_close_matches(key, KNOWN_KEYS, n=1, cutoff=0.85)
        if key not in KNOWN_KEYS and close:
            raise ValueError(f'{path} has the unknown key {key!r}, which nothing reads; did you mean {close[0]!r}?')


def student_options(options: dict | None) -> dict:
    """Return those overrides of a distillation that concern its student, as the student's own config has them."""
    prefix = 'model.student.'
    return {f'model.{key[len(prefix):]}': value for key, value in (options or {}).items() if key.startswith(prefix)}
