"""Fixtures shared by all tests."""
from __future__ import annotations

import os
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

import mmseg_ris_kd  # noqa: F401  registers the components and applies the compatibility layer

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder with the real samples and golden numbers; tests that use it skip where it is absent."""
    path = Path(os.environ.get('MMSEG_RIS_KD_SHARED', REPOSITORY.parent / 'shared' / 'data'))
    if not (path / 'refer').is_dir():
        pytest.skip(f'no shared data at {path}; set MMSEG_RIS_KD_SHARED to the folder that holds refer/ and goldens/')
    return path.resolve()


@pytest.fixture(autouse=True)
def _default_scope() -> None:
    """Components are looked up as under a config of this project, whatever scope a runner of another test left."""
    init_default_scope('mmseg')
