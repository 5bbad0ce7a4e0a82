"""What lets the released OpenMMLab stack run on today's torch, torchvision and transformers.

Each function below is one incompatibility and says which upstream release retires it. Nothing here changes what a
working installation does: every patch looks first whether it is needed. ``apply()`` runs once, when ``mmseg_ris_kd`` is
imported and before any OpenMMLab model code is.
"""
from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types

from packaging.requirements import Requirement
from packaging.version import Version

INSTALL_COMMAND = 'pip install "mmseg_ris_kd[lite]"'
# distribution, lowest version, first version that is known not to work (None: no such version is known)
REQUIREMENTS = (
    ('torch', '2.1', None),
    ('mmengine', '0.10.4', '1.0'),
    ('mmsegmentation', '1.2.2', '2.0'),
)
MMCV_RANGE = ('2.0.0rc4', '2.2.0')


def apply() -> None:
    """Check the stack, then install every patch that this environment needs.

    Raises:
        ImportError: A package is missing, too old or installed twice; the message holds the command that mends it.
    """
    check_stack()
    stub_mmcv_ops()
    allow_checkpoint_types()
    register_package_name()
    guard_mmpretrain_import()


def check_stack() -> None:
    """Raise one ``ImportError`` that lists everything wrong with the installed stack and how to mend it."""
    problems = []
    for name, lowest, too_new in REQUIREMENTS:
        problems += _version_problem(name, _version(name), lowest, too_new)
    problems += _too_new_for_torch()
    full, lite = _version('mmcv'), _version('mmcv-lite')
    if full and lite:
        problems.append(f'mmcv {full} and mmcv-lite {lite} are both installed and overwrite each other\'s files: '
                        'pip uninstall -y mmcv mmcv-lite, then install exactly one of them')
    elif not full and not lite:
        problems.append(f'neither mmcv nor mmcv-lite is installed: {INSTALL_COMMAND} adds mmcv-lite '
                        '(mim install "mmcv>=2.0.0rc4,<2.2.0" the full one)')
    else:
        problems += _version_problem('mmcv' if full else 'mmcv-lite', full or lite, *MMCV_RANGE)
    if importlib.util.find_spec('pkg_resources') is None:
        problems.append('pkg_resources is missing and mmengine finds configs by name through it: '
                        'pip install "setuptools<81"')
    if problems:
        raise ImportError('mmseg_ris_kd cannot use this environment:\n  - ' + '\n  - '.join(problems))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _version_problem(name: str, version: str | None, lowest: str, too_new: str | None) -> list[str]:
    wanted = f'{name}>={lowest}' + (f',<{too_new}' if too_new else '')
    if version is None:
        return [f'{name} is not installed: pip install "{wanted}"']
    if Version(version) < Version(lowest) or (too_new and Version(version) >= Version(too_new)):
        return [f'{name} {version} is installed, {wanted} is needed: pip install "{wanted}"']
    return []


def _too_new_for_torch() -> list[str]:
    """Packages that do not work with an older torch, although pip installs them beside it."""
    torch, numpy, transformers = _version('torch'), _version('numpy'), _version('transformers')
    if torch is None:
        return []
    problems = []
    if numpy and Version(torch) < Version('2.3') and Version(numpy) >= Version('2'):
        problems.append(f'torch {torch} was built for numpy 1, but numpy {numpy} is installed: '
                        'pip install "numpy<2" "opencv-python<4.12"')
    if transformers:
        wanted = next((requirement.specifier for requirement in map(Requirement, _requirements('transformers'))
                       if requirement.name == 'torch'), None)
        if wanted is not None and not wanted.contains(torch, prereleases=True):
            older = '4.56' if Version(torch) < Version('2.2') else '5'
            problems.append(f'transformers {transformers} needs torch{wanted}, but torch {torch} is installed: '
                            f'pip install "torch{wanted}", or keep torch and pip install "transformers<{older}"')
    return problems


def _requirements(distribution: str) -> list[str]:
    return importlib.metadata.requires(distribution) or []


class _MissingOps(types.ModuleType):
    """Stands in for ``mmcv._ext``: every op exists, and raises when it is called."""

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def missing_op(*args, **kwargs):
            raise RuntimeError(f'the compiled op mmcv.ops "{name}" was called, but mmcv-lite is installed, which has '
                               'none: replace it by the full mmcv (pip uninstall mmcv-lite; mim install mmcv), or use '
                               'a model without this op')

        return missing_op


def stub_mmcv_ops() -> None:
    """Let ``mmseg`` import with ``mmcv-lite``: ``mmseg.utils`` imports ``mmcv.ops`` unguarded.

    Retired by the mmsegmentation release that guards this import (none as of 1.2.2). With the full mmcv, whose
    ``_ext`` is real, nothing happens.
    """
    if _version('mmcv-lite') is None or 'mmcv._ext' in sys.modules:
        return
    import mmcv
    if importlib.util.find_spec('mmcv._ext') is not None:
        return
    stub = _MissingOps('mmcv._ext', 'Stub of the compiled ops that mmcv-lite does not have.')
    # mmengine's environment report looks for the spec, and expects an origin
    stub.__spec__ = importlib.machinery.ModuleSpec('mmcv._ext', None, origin='mmseg_ris_kd.compat stub')
    sys.modules['mmcv._ext'] = stub
    mmcv._ext = stub


def allow_checkpoint_types() -> None:
    """Allow the types in mmengine's own checkpoints, which ``torch.load`` refuses since torch 2.6.

    mmengine 0.10.7 does not pass ``weights_only``; its checkpoints hold log histories and numpy scalars beside the
    tensors. Only these types are allowed, the check itself stays on. Retired by the mmengine release that does so.
    """
    import torch
    if Version(Version(torch.__version__).base_version) < Version('2.6'):
        return
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer
    numeric = [np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_]
    allowed = [HistoryBuffer, np.ndarray, np.dtype, *numeric, *(type(np.dtype(t)) for t in numeric)]
    multiarray = importlib.import_module('numpy._core.multiarray' if hasattr(np, '_core') else 'numpy.core.multiarray')
    for function in (multiarray._reconstruct, multiarray.scalar):
        # numpy renamed its core in 2.0: a checkpoint names the function by the path in the numpy that wrote it
        allowed += [(function, f'{core}.multiarray.{function.__name__}') for core in ('numpy.core', 'numpy._core')]
    # a log history pickles its statistics as getattr(HistoryBuffer, name); getattr itself stays forbidden
    allowed.append((_history_statistic, 'builtins.getattr'))
    torch.serialization.add_safe_globals(allowed)


def _history_statistic(owner: type, name: str):
    """Stand in for ``getattr`` in a checkpoint: hand out the public methods of ``HistoryBuffer``, nothing else."""
    from mmengine.logging.history_buffer import HistoryBuffer
    if owner is not HistoryBuffer or name.startswith('_'):
        raise ValueError(f'a checkpoint asks for the attribute {name!r} of {owner!r}, which no mmengine checkpoint '
                         'does: do not load this file unless you trust its source')
    return getattr(owner, name)


def register_package_name() -> None:
    """Let ``mmseg_ris_kd::config`` find a config by name: mmengine resolves only the packages in its table."""
    from mmengine.config import utils
    utils.MODULE2PACKAGE.setdefault('mmseg_ris_kd', 'mmseg_ris_kd')


class _MmpretrainGuard(importlib.abc.MetaPathFinder):
    """Acts once, right before ``mmpretrain.models`` is imported."""

    def find_spec(self, name, path=None, target=None):
        if name == 'mmpretrain.models':
            sys.meta_path.remove(self)
            import mmpretrain.utils.dependency as dependency
            import transformers.modeling_utils as modeling_utils
            if not hasattr(modeling_utils, 'apply_chunking_to_forward'):
                dependency.WITH_MULTIMODAL = False
        return None


def guard_mmpretrain_import() -> None:
    """Let ``import mmpretrain.models`` succeed with pycocotools beside a recent transformers.

    mmpretrain 1.2.0 imports its multimodal models (BLIP and others) when pycocotools is present, and these import
    helpers that have left ``transformers.modeling_utils``. Where they have, mmpretrain is told that the multimodal
    extras are absent, so that it registers its own placeholders, which say so when one is built. Nothing is imported
    before a config asks for mmpretrain. Retired by the mmpretrain release that follows transformers.
    """
    if not any(isinstance(finder, _MmpretrainGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MmpretrainGuard())
