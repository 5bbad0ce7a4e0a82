from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters' / 'generate_refshapes.py'
COUNTS = ['--counts', 'train=3', 'val=2', 'testA=2', 'testB=0', '--num-workers', '1']


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('generate_refshapes_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generates_previews_and_reuses(tool, tmp_path, capsys):
    sheet = tmp_path / 'pictures' / 'sheet.png'
    tool.main([str(tmp_path / 'data'), *COUNTS, '--preview', str(sheet)])
    assert 'held out refs' in capsys.readouterr().out
    assert len(list((tmp_path / 'data' / 'images' / 'refshapes').glob('*.jpg'))) == 7
    picture = np.asarray(Image.open(sheet).convert('RGB'))
    assert picture.shape[1] > 4 * 288 and picture.shape[0] > 2 * 288  # 7 panels in two rows of four
    tool.main([str(tmp_path / 'data'), *COUNTS])


def test_other_arguments_need_overwrite(tool, tmp_path):
    tool.main([str(tmp_path), *COUNTS])
    with pytest.raises(FileExistsError) as error:
        tool.main([str(tmp_path), *COUNTS, '--seed', '1'])
    message = str(error.value)
    assert 'seed: there 0, asked for 1' in message and '--overwrite' in message
    tool.main([str(tmp_path), *COUNTS, '--seed', '1', '--overwrite'])


@pytest.mark.parametrize('arguments, message', [
    (['--counts', 'train'], 'is not SPLIT=IMAGES'),
    (['--difficulty', 'brutal'], 'invalid choice'),
])
def test_bad_command_lines(tool, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path), *arguments])
    assert message in capsys.readouterr().err


def test_bad_values(tool, tmp_path):
    with pytest.raises(ValueError) as error:
        tool.main([str(tmp_path), '--counts', 'test=5'])
    assert "split 'test'" in str(error.value)


def test_out_dir_is_a_file(tool, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError) as error:
        tool.main([str(tmp_path / 'file'), *COUNTS])
    assert 'is a file' in str(error.value)
