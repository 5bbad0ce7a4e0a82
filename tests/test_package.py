"""The built package: what the wheel holds, and that configs, tools and training work from it outside the checkout."""
from __future__ import annotations

import email.message
import email.parser
import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mmseg_ris_kd

REPOSITORY = Path(__file__).resolve().parents[1]
CARRIED = ('configs', 'tools')
SOURCES = ('mmseg_ris_kd', *CARRIED, 'tests', 'docs', 'setup.py', 'pyproject.toml', 'MANIFEST.in', 'model-index.yml',
           'constraints.txt', 'README.md', 'LICENSE', 'CITATION.cff', 'CONTRIBUTING.md', 'Makefile')
SDIST = 'import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))'
SINGLE_PROCESS = [f'{loader}_dataloader.{option}' for loader in ('train', 'val', 'test')
                  for option in ('num_workers=0', 'persistent_workers=False')]
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    """A copy of the sources, with what an editable install, an earlier build and Python leave in a checkout."""
    root = tmp_path_factory.mktemp('checkout')
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        elif source.is_file():
            shutil.copy2(source, root / name)
    for name in ('build/lib/mmseg_ris_kd/gone.py', 'mmseg_ris_kd/__pycache__/x.pyc', 'tools/__pycache__/x.pyc'):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    (root / 'mmseg_ris_kd' / '.mim').mkdir()
    (root / 'mmseg_ris_kd' / '.mim' / 'tools').symlink_to('../../tools')
    return root


def build_wheel(source: Path, folder: Path) -> Path:
    """Build with the setuptools at hand, so that no package index is asked."""
    run('-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index', '-w', folder, source, cwd=folder)
    wheel, = folder.glob('*.whl')
    return wheel


def run(*arguments, cwd: Path, path: Path | None = None, code: int = 0) -> str:
    """Run Python on ``arguments``, with ``path`` before the installed packages; return what it printed."""
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH='' if path is None else str(path))
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, env=env, cwd=cwd)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def wheel(checkout, tmp_path_factory) -> Path:
    return build_wheel(checkout, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel as pip lays it out in site-packages, where another package has left a folder ``configs``."""
    root = tmp_path_factory.mktemp('site-packages')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root)
    (root / 'configs').mkdir()
    (root / 'configs' / 'of_another_package.py').touch()
    return root


@pytest.fixture(scope='module')
def metadata(wheel) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        name, = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def requirements(metadata: email.message.Message) -> list[Requirement]:
    return list(map(Requirement, metadata.get_all('Requires-Dist')))


def test_the_wheel_holds_the_package_with_configs_tools_and_index_and_nothing_else(wheel):
    expected = {f'mmseg_ris_kd/{path.relative_to(REPOSITORY / "mmseg_ris_kd").as_posix()}'
                for path in (REPOSITORY / 'mmseg_ris_kd').rglob('*.py') if '.mim' not in path.parts}
    expected |= {f'mmseg_ris_kd/.mim/{path.relative_to(REPOSITORY).as_posix()}'
                 for folder in CARRIED for path in (REPOSITORY / folder).rglob('*')
                 if path.is_file() and '__pycache__' not in path.parts}
    expected.add('mmseg_ris_kd/.mim/model-index.yml')
    with zipfile.ZipFile(wheel) as archive:
        held = {info.filename: info for info in archive.infolist() if '.dist-info/' not in info.filename}
    assert set(held) == expected
    scripts = [info for name, info in held.items() if name.endswith('.sh')]
    assert scripts and all(info.external_attr >> 16 & 0o111 for info in scripts), 'shell scripts must be executable'


def test_the_source_distribution_builds_the_same_wheel(checkout, wheel, tmp_path):
    name = run('-c', SDIST, tmp_path, cwd=checkout).splitlines()[-1]
    again = build_wheel(tmp_path / name, tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert set(one.namelist()) == set(other.namelist())
        for name in one.namelist():
            assert name.endswith('/RECORD') or one.read(name) == other.read(name), name


def test_metadata(metadata, wheel):
    assert (metadata['Name'], metadata['Version']) == ('mmseg_ris_kd', mmseg_ris_kd.__version__)
    assert (metadata['License'], metadata['Requires-Python']) == ('Apache-2.0', '>=3.9')
    assert metadata['Description-Content-Type'] == 'text/markdown'
    assert metadata.get_payload().startswith('# mmseg_ris_kd')
    assert {'lite', 'test'} <= set(metadata.get_all('Provides-Extra'))
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith('LICENSE') for name in archive.namelist())


def test_this_environment_meets_the_requirements(metadata):
    for requirement in requirements(metadata):
        if requirement.marker is None or requirement.marker.evaluate(dict(extra='')):
            version = importlib.metadata.version(requirement.name)
            assert requirement.specifier.contains(version, prereleases=True), f'{requirement}, not {version}'


def test_mmcv_is_the_users_choice(metadata):
    """A plain install must not put mmcv-lite over a full mmcv: they own the same files."""
    mmcv = [requirement for requirement in requirements(metadata) if requirement.name.startswith('mmcv')]
    assert [str(requirement.marker) for requirement in mmcv] == ['extra == "lite"']


def test_tested_versions_are_allowed_ones(metadata):
    allowed = {requirement.name: requirement.specifier for requirement in requirements(metadata)}
    lines = (REPOSITORY / 'constraints.txt').read_text().splitlines()
    for tested in (Requirement(line) for line in lines if not line.startswith('#')):
        for pin in tested.specifier:
            assert pin.operator != '==' or allowed[tested.name].contains(pin.version), tested


def test_configs_are_found_by_name(installed, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmseg_ris_kd::r18/r18_bert-mini_refcoco.py'\nlog_level = 'ERROR'\n")
    run('-c', f"""
from pathlib import Path
import mmseg_ris_kd
from mmengine.hub import get_config
from mmseg_ris_kd.apis import list_configs, load_config
configs = Path({str(installed)!r}).resolve() / 'mmseg_ris_kd' / '.mim' / 'configs'
assert Path(mmseg_ris_kd.__file__).parent == configs.parents[1], mmseg_ris_kd.__file__
by_name = load_config('r18_bert-mini_refcoco')
assert Path(by_name.filename) == configs / 'r18' / 'r18_bert-mini_refcoco.py', by_name.filename
names = [str(path.relative_to(configs)) for path in list_configs()]
assert len(names) > 5, names
for name in names:
    assert get_config('mmseg_ris_kd::' + name).model.type in ('ReferringSegmentor', 'ReferringDistiller'), name
mine = load_config('mine.py')
assert mine.log_level == 'ERROR' and mine.model.decode_head.channels == by_name.model.decode_head.channels
""", cwd=tmp_path, path=installed)


def test_the_model_index_is_whole(installed, capsys):
    index = pytest.importorskip('modelindex.load_model_index').load(
        str(installed / 'mmseg_ris_kd' / '.mim' / 'model-index.yml'))
    index.build_models_with_collections()
    collections = {collection.name for collection in index.collections}
    for model in index.models:
        assert model.in_collection in collections, model.name
    index.check()
    assert 'All good' in capsys.readouterr().out


def test_every_tool_explains_itself(installed, tmp_path):
    out = run('-c', """
import contextlib, io, runpy, sys
from pathlib import Path
import mmseg_ris_kd
for path in sorted((Path(mmseg_ris_kd.__file__).parent / '.mim' / 'tools').rglob('*.py')):
    text, sys.argv = io.StringIO(), [str(path), '--help']
    with contextlib.redirect_stdout(text):
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as exit:
            assert not exit.code, path
    assert 'usage: ' + path.name in text.getvalue(), (path, text.getvalue())
    # mim hands --gpus to a train.py whose help mentions it
    assert '--gpus' not in text.getvalue(), path
    print(path.name)
""", cwd=tmp_path, path=installed)
    assert set(out.split()) == {path.name for path in (REPOSITORY / 'tools').rglob('*.py')}
    for script in (installed / 'mmseg_ris_kd' / '.mim' / 'tools').glob('*.sh'):
        done = subprocess.run(['bash', script], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2 and f'tools/{script.name}' in done.stdout


def test_trains_and_tests_as_mim_would(installed, tmp_path):
    """``mim train`` and ``mim test`` run these commands, from an empty folder."""
    mim = installed / 'mmseg_ris_kd' / '.mim'
    config = mim / 'configs' / 'refshapes' / 'r18-slim_bert-tiny_refshapes.py'
    run(mim / 'tools' / 'dataset_converters' / 'generate_refshapes.py', 'data', '--image-size', 64, '--num-workers', 1,
        '--counts', 'train=8', 'val=4', 'testA=2', 'testB=2', cwd=tmp_path, path=installed)
    options = ['train_cfg.max_epochs=1', 'param_scheduler.1.end=1', 'train_dataloader.batch_size=8', *SINGLE_PROCESS]
    run(mim / 'tools' / 'train.py', config, '--launcher', 'none', '--work-dir', 'work', '--cfg-options', *options,
        cwd=tmp_path, path=installed)
    out = run(mim / 'tools' / 'test.py', config, 'work/epoch_1.pth', '--launcher', 'none', '--work-dir', 'work',
              '--cfg-options', *SINGLE_PROCESS, cwd=tmp_path, path=installed)
    assert 'mIoU' in out
    (tmp_path / 'mine.py').write_text("_base_ = 'mmseg_ris_kd::refshapes/r18-slim_bert-tiny_refshapes.py'\n")
    inherited = run(mim / 'tools' / 'test.py', 'mine.py', 'work/epoch_1.pth', '--work-dir', 'mine',
                    '--cfg-options', *SINGLE_PROCESS, cwd=tmp_path, path=installed)
    assert inherited.splitlines()[-4:-1] == out.splitlines()[-4:-1]
    assert 'not installed' not in inherited and 'workaround' not in inherited
    run('-c', """
from mmseg_ris_kd.apis import ReferringInferencer
inferencer = ReferringInferencer('r18-slim_bert-tiny_refshapes', 'work/epoch_1.pth', device='cpu')
prediction, = inferencer('data/images/refshapes/val_000000.jpg', 'the red circle')
assert prediction.mask.shape == (64, 64)
""", cwd=tmp_path, path=installed)
