"""The compatibility layer: what it lets run, and what it says when it cannot."""
from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer

from mmseg_ris_kd import compat


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout


def test_missing_ops_import_and_raise_when_called():
    pytest.importorskip('mmcv')
    if compat._version('mmcv-lite') is None:
        pytest.skip('the full mmcv is installed: its ops are real')
    from mmcv.ops import point_sample  # noqa: F401  mmseg.utils needs this import
    ext = sys.modules['mmcv._ext']
    assert ext.__spec__ is not None
    with pytest.raises(RuntimeError, match='"nms".*mmcv-lite'):
        ext.nms(1, iou_threshold=0.5)


def test_environment_report_works_with_the_stub():
    from mmengine.utils.dl_utils import collect_env
    assert 'PyTorch' in collect_env()


def test_checkpoints_of_mmengine_load():
    history = HistoryBuffer()
    history.update(1.)
    history.update(3.)
    stream = io.BytesIO()
    torch.save(dict(history=history, array=np.arange(3.), scalar=np.float32(2), flag=np.bool_(True)), stream)
    stream.seek(0)
    loaded = torch.load(stream)
    assert loaded['history'].statistics('mean') == 2
    assert loaded['array'].tolist() == [0, 1, 2] and loaded['scalar'] == 2 and loaded['flag']


@pytest.mark.skipif(torch.__version__ < '2.6', reason='torch checks checkpoints since 2.6')
def test_checkpoints_cannot_run_code(tmp_path):

    class Harmful:

        def __reduce__(self):
            return print, ('code from a checkpoint',)

    torch.save(dict(harmful=Harmful()), tmp_path / 'harmful.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'harmful.pth')


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__init__'), (torch.nn.Module, 'train'), (object, 'mean')])
def test_checkpoints_cannot_reach_other_attributes(owner, name):
    with pytest.raises(ValueError, match='do not load this file'):
        compat._history_statistic(owner, name)


def test_mmpretrain_is_imported_only_when_a_config_asks_for_it():
    code = """
import sys, mmseg_ris_kd
assert 'mmpretrain' not in sys.modules
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
init_default_scope('mmseg')
net = MODELS.build(dict(type='mmpretrain.MobileNetV3', arch='small', out_indices=(1, 3)))
assert 'mmpretrain' in sys.modules
print(type(net).__name__)
"""
    assert run_python(code).strip().endswith('MobileNetV3')


@pytest.mark.parametrize('pycocotools', [True, False])
def test_mmpretrain_imports_with_and_without_pycocotools(pycocotools):
    code = f"""
import importlib_metadata, mmseg_ris_kd
found = importlib_metadata.distribution
def distribution(name):
    if name == 'pycocotools' and not {pycocotools}:
        raise importlib_metadata.PackageNotFoundError(name)
    return found(name)
importlib_metadata.distribution = distribution
import mmpretrain.models
from mmpretrain.registry import MODELS
print(MODELS.get('ResNet').__name__)
"""
    assert run_python(code).strip().endswith('ResNet')


def stack(monkeypatch, **versions):
    installed = {'torch': '2.14.1', 'mmengine': '0.10.7', 'mmsegmentation': '1.2.2', 'mmcv-lite': '2.1.0', 'mmcv': None}
    installed.update({name.replace('_', '-'): version for name, version in versions.items()})
    monkeypatch.setattr(compat, '_version', installed.get)


def test_a_good_stack_passes(monkeypatch):
    stack(monkeypatch)
    compat.check_stack()
    stack(monkeypatch, mmcv_lite=None, mmcv='2.1.0', torch='2.1.0+cu121')
    compat.check_stack()


@pytest.mark.parametrize('versions, message', [
    (dict(mmcv='2.1.0'), 'mmcv 2.1.0 and mmcv-lite 2.1.0 are both installed.*pip uninstall'),
    (dict(mmcv_lite=None), r'neither mmcv nor mmcv-lite.*pip install "mmseg_ris_kd\[lite\]"'),
    (dict(mmcv_lite='2.2.0'), r'mmcv-lite 2.2.0 is installed.*pip install "mmcv-lite>=2.0.0rc4,<2.2.0"'),
    (dict(torch='1.13.1'), 'torch 1.13.1 is installed, torch>=2.1 is needed'),
    (dict(mmsegmentation=None), 'mmsegmentation is not installed: pip install "mmsegmentation>=1.2.2,<2.0"'),
])
def test_a_bad_stack_is_one_error_with_the_remedy(monkeypatch, versions, message):
    stack(monkeypatch, **versions)
    with pytest.raises(ImportError, match=message):
        compat.check_stack()


@pytest.mark.parametrize('versions, messages', [
    (dict(torch='2.1.2+cu121'), ['torch 2.1.2.* was built for numpy 1.*pip install "numpy<2"',
                                 'transformers 4.57.6 needs torch>=2.2, but torch 2.1.2.*"transformers<4.56"']),
    (dict(torch='2.1.2', numpy='1.26.4', transformers='4.55.4'), []),
    (dict(torch='2.4.0', transformers='5.18.0'), ['transformers 5.18.0 needs torch>=2.5.*"transformers<5"']),
    (dict(torch='2.15.0a0+git1234'), []),
])
def test_packages_that_are_too_new_for_an_old_torch(versions, messages, monkeypatch):
    versions = dict(dict(numpy='2.0.2', transformers='4.57.6'), **versions)
    needs = {'4.55.4': 'torch>=2.1', '4.57.6': 'torch>=2.2', '5.18.0': 'torch>=2.5'}[versions['transformers']]
    stack(monkeypatch, **versions)
    monkeypatch.setattr(compat, '_requirements', lambda name: ['filelock', f'{needs}; extra == "torch"'])
    problems = compat._too_new_for_torch()
    assert len(problems) == len(messages)
    for problem, message in zip(problems, messages):
        assert re.search(message, problem), problem


def test_every_problem_is_listed_at_once(monkeypatch):
    stack(monkeypatch, torch='1.9', mmengine='0.7.0', mmcv_lite=None)
    with pytest.raises(ImportError) as error:
        compat.check_stack()
    assert str(error.value).count('\n  - ') == 3
