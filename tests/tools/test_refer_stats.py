import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = REPOSITORY / 'tools' / 'dataset_converters' / 'refer_stats.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('refer_stats', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_RIS_KD_CACHE', str(tmp_path / 'cache'))
    folder = tmp_path / 'data' / 'myrefs'
    folder.mkdir(parents=True)
    refs = [dict(ref_id=1, ann_id=10, image_id=100, split='val', category_id=1,
                 sentences=[dict(sent='one two three'), dict(sent=' ')])]
    (folder / 'refs(me).p').write_bytes(pickle.dumps(refs, 2))
    (folder / 'instances.json').write_text(json.dumps(dict(
        images=[dict(id=100, file_name='a.jpg', height=6, width=8)],
        annotations=[dict(id=10, image_id=100, segmentation=[[0, 0, 4, 0, 4, 4]])])))
    return folder.parent


def _table(text):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|')]


def test_unpublished_dataset(tool, root, capsys):
    assert tool.main([str(root), '--strict', '--show-faults']) == 0
    output = capsys.readouterr().out
    assert _table(output)[1] == ['myrefs', 'me', 'val', '1', '1', '2', '-', 'unknown', '3', '1']
    assert 'empty_expression: ' in output and 'sentence 1 of ref 1' in output


def test_complete_splits_match(tool, shared_data, tmp_path, capsys):
    arguments = [str(shared_data / 'refer_boxes'), '--dataset', 'refcoco', '--cache-dir', str(tmp_path), '--strict']
    assert tool.main(arguments) == 0
    rows = {row[2]: row for row in _table(capsys.readouterr().out)[1:]}
    assert rows['val'][3:8] == ['1500', '3811', '10834', '1500 / 3811 / 10834', 'match']
    assert rows['testA'][3:8] == ['750', '1975', '5657', '750 / 1975 / 5657', 'match']
    assert rows['testB'][3:8] == ['750', '1810', '5095', '750 / 1810 / 5095', 'match']
    assert rows['train'][7] == 'absent'
    assert all(rows[split][9] == '0' for split in ('val', 'testA', 'testB'))


def test_sample_differs(tool, shared_data, tmp_path, capsys):
    arguments = [str(shared_data / 'refer'), '--cache-dir', str(tmp_path)]
    assert tool.main(arguments) == 0
    rows = {(row[0], row[2]): row for row in _table(capsys.readouterr().out)[1:]}
    assert rows['refcoco', 'testA'][3:8] == ['10', '10', '30', '750 / 1975 / 5657', 'differs']
    assert rows['refcoco+', 'testA'][3:8] == ['10', '10', '27', '750 / 1975 / 5726', 'differs']
    assert tool.main([*arguments, '--strict']) == 1


def test_one_broken_dataset_does_not_hide_the_others(tool, root, capsys):
    (root / 'refcoco').mkdir()
    (root / 'refcoco' / 'refs(unc).p').write_bytes(b'nonsense')
    (root / 'refcoco' / 'instances.json').write_text('{}')
    (root / 'grefcoco').mkdir()
    (root / 'grefcoco' / 'grefs(unc).json').write_text('[]')
    assert tool.main([str(root)]) == 2
    captured = capsys.readouterr()
    assert [row[0] for row in _table(captured.out)[1:]] == ['myrefs']
    assert 'refcoco/refs(unc).p is not a readable pickle' in captured.err
    assert 'grefcoco/grefs(unc).json: expected a list of ref records' in captured.err


@pytest.mark.parametrize('arguments, message', [
    (['{root}/nowhere'], 'is not a folder'), (['{root}/myrefs'], 'Pass its parent folder'),
    (['{root}/empty'], 'Expected'), (['{root}', '--dataset', 'refcoco'], 'datasets found: myrefs')])
def test_errors(tool, root, capsys, arguments, message):
    (root / 'empty').mkdir()
    assert tool.main([argument.format(root=root) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error


@pytest.mark.slow
def test_command_line(root):
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    run = subprocess.run([sys.executable, str(TOOL), str(root)], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert 'myrefs' in run.stdout
    helped = subprocess.run([sys.executable, str(TOOL), '--help'], capture_output=True, text=True, env=environment)
    assert '--strict' in helped.stdout and 'Expected layout' in helped.stdout
    assert 'Image files are not looked at' in ' '.join(helped.stdout.split())
