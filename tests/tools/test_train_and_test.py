"""Training and testing through the command line: results, interruptions, several processes, and bad input."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_ris_kd.apis import find_config
from mmseg_ris_kd.evaluation import PROTOCOLS, read_predictions

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
DROPOUT = 'model.text_encoder.config.hidden_dropout_prob=0.2'


@pytest.fixture(scope='module')
def trained(small_config, run_tool, tmp_path_factory) -> Path:
    """Work dir of an uninterrupted run, with dropout so that it depends on the random state."""
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool('train.py', small_config, '--work-dir', work_dir, '--cfg-options', DROPOUT)
    return work_dir


def weights(path: Path) -> dict:
    return torch.load(path, map_location='cpu')['state_dict']


def metrics(work_dir: Path) -> dict:
    return json.loads((work_dir / 'metrics.json').read_text())['metrics']


def validation(work_dir: Path) -> list:
    """The validation results that training logged, in order of time."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [record for record in map(json.loads, lines) if 'mIoU' in record]


def test_trains_validates_and_keeps_the_best(trained):
    results = validation(trained)
    assert [record['step'] for record in results] == [1, 2, 3]
    best = max(range(3), key=lambda i: results[i]['mIoU'])
    assert (trained / f'best_mIoU_epoch_{best + 1}.pth').is_file()
    assert {path.name for path in trained.glob('epoch_*.pth')} == {'epoch_2.pth', 'epoch_3.pth'}


def test_test_equals_the_validation_of_training(trained, small_config, run_tool, tmp_path):
    done = run_tool('test.py', small_config, trained / 'epoch_3.pth', '--work-dir', tmp_path, '--out',
                    tmp_path / 'predictions.jsonl', '--show-dir', tmp_path / 'sheets', '--split', 'val', 'testA')
    results = metrics(tmp_path)
    assert list(results) == ['val', 'testA']
    for name in ('mIoU', 'oIoU', 'Pr@0.5', 'Pr@0.9'):
        assert results['val'][name] == pytest.approx(validation(trained)[-1][name], abs=1e-4)
    assert 'mIoU' in done.stdout and f'{results["testA"]["mIoU"]:.2f}' in done.stdout
    log = next(tmp_path.glob('*/*.log')).read_text()
    for heading in ('Runtime environment:', 'Config:', 'Hooks will be executed'):
        assert heading in log and heading not in done.stdout
    predictions = list(read_predictions(tmp_path / 'predictions_val.jsonl'))
    assert results['val']['mIoU'] == pytest.approx(
        100 * sum(p['iou'] for p in predictions) / len(predictions), abs=1e-4)
    assert (tmp_path / 'sheets' / 'testA' / 'sheet_0001.png').is_file()


def test_all_protocols_in_one_table_equal_each_alone(trained, small_config, run_tool, tmp_path):
    done = run_tool('test.py', small_config, trained, '--work-dir', tmp_path, '--protocol', 'all', '--out',
                    tmp_path / 'p.jsonl', '--show-dir', tmp_path / 'sheets', '--split', 'val', 'testA')
    assert not (tmp_path / 'metrics.json').exists()
    results = json.loads((tmp_path / 'protocols.json').read_text())['metrics']
    together = results['val']
    assert list(results) == ['val', 'testA'] and list(results['testA']) == list(PROTOCOLS)
    assert list(together) == list(PROTOCOLS)
    assert all(re.search(rf'val \| +{name} \| +{scores["mIoU"]:.2f}', done.stdout) for name, scores in together.items())
    assert (tmp_path / 'sheets' / 'testA' / 'sheet_0001.png').is_file()
    for name in ('lavt', 'cris'):
        run_tool('test.py', small_config, trained, '--work-dir', tmp_path / name, '--protocol', name)
        assert metrics(tmp_path / name)['val'] == together[name]
        written = list(read_predictions(tmp_path / f'p_val_{name}.jsonl'))
        assert {prediction['protocol'] for prediction in written} == {name}
        assert together[name]['mIoU'] == pytest.approx(100 * sum(p['iou'] for p in written) / len(written))


def test_a_changed_protocol_says_so(trained, small_config, run_tool, tmp_path):
    done = run_tool('test.py', small_config, trained, '--work-dir', tmp_path, '--protocol', 'lavt', '--cfg-options',
                    'test_evaluator.comparison=>')
    assert "lavt, comparison='>'" in done.stdout
    assert json.loads((tmp_path / 'metrics.json').read_text())['protocol'] == "lavt, comparison='>'"


def test_a_protocol_by_name_reaches_metric_dataset_and_model(trained, small_config, run_tool, tmp_path):
    done = run_tool('test.py', small_config, trained, '--work-dir', tmp_path, '--protocol', 'caris')
    assert 'protocol caris' in done.stdout
    report = json.loads((tmp_path / 'metrics.json').read_text())
    assert report['protocol'] == 'caris'
    assert set(report['metrics']['val']) == {'mIoU', 'oIoU', 'Pr@0.5', 'Pr@0.7', 'Pr@0.9'}
    used = Config.fromfile(next(tmp_path.glob('*/vis_data/config.py')))
    assert used.test_dataloader.dataset.expression_field == 'sent' and used.model.test_cfg.keep_input_logits
    one_error(run_tool('test.py', small_config, trained, '--work-dir', tmp_path, '--cfg-options',
                       'test_evaluator.protocol=criss', check=False), "'criss'")


def kill_when(process: subprocess.Popen, condition) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, 'training ended before it could be interrupted'
        assert time.monotonic() < deadline, 'training never got to the point of interruption'
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize('moment', ['first epoch', 'while writing the second checkpoint', 'before the last validation'])
def test_killed_and_resumed_equals_uninterrupted(moment, trained, small_config, run_tool, tmp_path):
    command = [sys.executable, str(REPOSITORY / 'tools' / 'train.py'), str(small_config), '--work-dir', str(tmp_path),
               '--cfg-options', DROPOUT]
    condition = {
        'first epoch': lambda: any(tmp_path.glob('*/vis_data/config.py')),
        'while writing the second checkpoint': (tmp_path / 'epoch_2.pth').exists,
        'before the last validation': lambda: (tmp_path / 'last_checkpoint').exists()
        and 'epoch_3' in (tmp_path / 'last_checkpoint').read_text(),
    }[moment]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY,
                          env=dict(os.environ, OMP_NUM_THREADS='1')) as process:
        kill_when(process, condition)
    run_tool('train.py', small_config, '--work-dir', tmp_path, '--resume', '--cfg-options', DROPOUT)
    expected, resumed = weights(trained / 'epoch_3.pth'), weights(tmp_path / 'epoch_3.pth')
    assert all(torch.equal(resumed[key], value) for key, value in expected.items())
    assert validation(tmp_path)[-1]['mIoU'] == validation(trained)[-1]['mIoU']
    assert {p.name for p in tmp_path.glob('best_*')} == {p.name for p in trained.glob('best_*')}


def test_the_seed_changes_the_run(trained, small_config, run_tool, tmp_path):
    run_tool('train.py', small_config, '--work-dir', tmp_path, '--seed', 5, '--cfg-options', DROPOUT)
    expected, other = weights(trained / 'epoch_3.pth'), weights(tmp_path / 'epoch_3.pth')
    assert any(not torch.equal(other[key], value) for key, value in expected.items())


def test_two_processes_equal_one(small_config, run_tool, tmp_path):
    """Each process takes half of the batch; expressions are not divisible by two, so test batches are uneven."""
    one, two = tmp_path / 'one', tmp_path / 'two'
    run_tool('train.py', small_config, '--work-dir', one)
    port = dict(MASTER_PORT=str(29500 + os.getpid() % 500))
    run_tool('dist_train.sh', small_config, 2, '--work-dir', two, '--cfg-options', 'train_dataloader.batch_size=4',
             env=port)
    assert len(validation(one)) == len(validation(two)) == 3
    alone, together = weights(one / 'epoch_3.pth'), weights(two / 'epoch_3.pth')
    flat = [torch.cat([w[key].float().flatten() for key in alone]) for w in (alone, together)]
    assert (flat[0] - flat[1]).norm() < 1e-3 * flat[0].norm()  # not elementwise: AdamW turns rounding into steps
    for alone, together in zip(validation(one), validation(two)):
        for name in ('mIoU', 'oIoU', 'Pr@0.5'):
            assert together[name] == pytest.approx(alone[name], abs=1e-2), name  # percent, so 1e-4
    checkpoint = one / 'epoch_3.pth'
    run_tool('test.py', small_config, checkpoint, '--work-dir', one)
    run_tool('dist_test.sh', small_config, checkpoint, 2, '--work-dir', two, '--split', 'val', env=port)
    for name, value in metrics(one)['val'].items():
        assert metrics(two)['val'][name] == pytest.approx(value, abs=1e-2), name


def one_error(done: subprocess.CompletedProcess, *words: str) -> str:
    assert done.returncode == 1, done.stdout[-2000:]
    assert 'Traceback' not in done.stderr
    error = done.stderr[done.stderr.index('error: '):]
    assert all(word in error for word in words), error
    return error


@pytest.mark.parametrize('arguments, message', [
    (['--cfg-options', 'optim_wraper.optimizer.lr=1'], "did you mean 'optim_wrapper'"),
    (['--cfg-options', 'train_dataloader.dataset.splitt=val'], "unexpected keyword argument 'splitt'"),
    (['--cfg-options', 'train_dataloader.dataset.split=trian'], "(?s)trian.*train"),
    (['--cfg-options', 'train_dataloader.dataset.data_root=nowhere'], 'nowhere'),
    (['--cfg-options', 'model.text_encoder.vocab_file=nowhere.txt'], 'nowhere.txt'),
    (['--amp'], '--amp needs a GPU'),
])
def test_training_with_bad_input_is_one_error(arguments, message, small_config, run_tool, tmp_path):
    if arguments == ['--amp'] and torch.cuda.is_available():
        pytest.skip('there is a GPU')
    done = run_tool('train.py', small_config, '--work-dir', tmp_path, *arguments, check=False)
    assert re.search(message, one_error(done)), done.stderr


def test_a_checkpoint_of_another_model_is_one_error(trained, small_config, run_tool, tmp_path):
    arguments = [small_config, trained / 'epoch_3.pth', '--work-dir', tmp_path, '--cfg-options',
                 'model.decode_head.channels=24']
    done = run_tool('test.py', *arguments, check=False)
    one_error(done, 'epoch_3.pth is a checkpoint of another model', 'decode_head')
    arguments = [small_config, '--work-dir', tmp_path, '--cfg-options', f'load_from={trained}/epoch_3.pth',
                 'model.decode_head.channels=24']
    one_error(run_tool('train.py', *arguments, check=False), 'epoch_3.pth is a checkpoint of another model')


def test_a_damaged_image_is_one_error(shapes_root, small_config, run_tool, tmp_path):
    images = sorted((shapes_root / 'images' / 'refshapes').glob('train*'))
    content = images[0].read_bytes()
    try:
        images[0].write_bytes(content[:len(content) // 2])
        done = run_tool('train.py', small_config, '--work-dir', tmp_path, '--cfg-options',
                        'train_dataloader.num_workers=1', check=False)
    finally:
        images[0].write_bytes(content)
    one_error(done, images[0].name, 'cannot be decoded', 'ref_id')


def test_unknown_config_name(run_tool):
    one_error(run_tool('train.py', 'r18_bert-mini_refcocoo', check=False), 'r18_bert-mini_refcoco\n')
    assert find_config('r18_bert-mini_refcoco').is_file()


def test_absent_data_is_reported_before_weights_are_fetched(run_tool, tmp_path):
    done = run_tool('train.py', 'r18_bert-mini_refcoco', '--data-root', tmp_path / 'nowhere',
                    '--work-dir', tmp_path / 'w', check=False)
    one_error(done, 'nowhere', 'data_root')
