"""The pictures of a distillation through the command line, and its errors."""
from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image

from mmseg_ris_kd.apis import cli, load_config

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = 'analysis_tools/show_distillation.py'
SPEC = importlib.util.spec_from_file_location('show_distillation', REPOSITORY / 'tools' / TOOL)
show_distillation = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(show_distillation)

# the student reads words with a recurrent network, the teacher with BERT and its special tokens
CONFIG = """
_base_ = ['{small_config}', '{repository}/configs/_base_/models/lavt_swin-nano_bert-tiny.py']
student = _base_.model
student.text_encoder = dict(
    type='RecurrentExpressionEncoder', vocab_file='{data}/refshapes/vocab.txt', embed_dims=16, hidden_dims=64)
teacher = _base_.teacher
teacher.text_encoder.vocab_file = '{data}/refshapes/vocab.txt'
teacher.backbone.update(embed_dims=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
teacher.decode_head.in_channels = (12, 24, 48, 96)
model = dict(
    _delete_=True, type='ReferringDistiller', student=student, teacher=teacher, teacher_ckpt='{folder}/teacher.pth',
    teacher_size=(72, 72), distill_losses=dict(cmkd=dict(type='CMKDLoss', pixel_word=dict(), channel=dict())))
"""


def save(model: dict, path: Path, **options) -> None:
    """A checkpoint of random weights: what the models have learnt is beside the point here."""
    model = MODELS.build(dict(model, **options))
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)


@pytest.fixture(scope='module')
def folder(small_config, shapes_root, tmp_path_factory) -> Path:
    """``config.py`` of a distillation with ``teacher.pth``, ``distilled/best_mIoU_epoch_1.pth`` and ``alone.pth``."""
    folder = tmp_path_factory.mktemp('show')
    (folder / 'config.py').write_text(
        CONFIG.format(small_config=small_config, repository=REPOSITORY, data=shapes_root, folder=folder))
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = load_config(str(folder / 'config.py')).model
    (folder / 'distilled').mkdir()
    save(model.teacher, folder / 'teacher.pth')
    save(model, folder / 'distilled' / 'best_mIoU_epoch_1.pth', teacher_ckpt=None, allow_random_teacher=True)
    save(model.student, folder / 'alone.pth')
    return folder


def show(folder, *arguments) -> None:
    show_distillation.main([str(folder / 'config.py'), str(folder / 'distilled'), '--output-dir', str(folder / 'out'),
                            '--device', 'cpu', *map(str, arguments)])


@pytest.mark.slow
def test_pictures_of_three_models(folder, run_tool, tmp_path):
    done = run_tool(TOOL, folder / 'config.py', folder / 'distilled', '--student-checkpoint', folder / 'alone.pth',
                    '--number', 3, '--output-dir', tmp_path, '--device', 'cpu')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'agreement.png', 'attention_01.png', 'attention_02.png', 'attention_03.png', 'relation.png']
    assert all(np.asarray(Image.open(path).convert('L')).std() > 5 for path in tmp_path.iterdir())
    rows = [line.split('|')[1].strip() for line in done.stdout.splitlines() if line.startswith('|')]
    assert rows == ['', 'teacher', 'student alone', 'distilled student']
    for line in ('student alone, least-squares map, L_ch ', 'distilled student, least-squares map, L_ch ',
                 'distilled student, trained adapter, L_ch '):
        assert line in done.stdout
    assert 'student alone, trained adapter' not in done.stdout


def test_two_models_on_a_part_of_another_split(folder, tmp_path, capsys):
    show(folder, '--split', 'testA', '--number', 2, '--number-for-agreement', 3, '--stage', 2)
    printed = capsys.readouterr().out
    assert 'agreement on 3 of ' in printed and 'of testA' in printed and 'student alone' not in printed
    names = ['agreement.png', 'attention_01.png', 'attention_02.png', 'relation.png']
    assert sorted(path.name for path in (folder / 'out').iterdir()) == names


def test_without_an_adapter_the_least_squares_map_stands_alone(folder, capsys):
    (folder / 'stage2.py').write_text(
        "_base_ = 'config.py'\nmodel = dict(distill_losses=dict(cmkd=dict(channel=dict(stages=(2, )))))\n")
    init_default_scope('mmseg')
    save(load_config(str(folder / 'stage2.py')).model, folder / 'stage2.pth')
    show_distillation.main([str(folder / 'stage2.py'), str(folder / 'stage2.pth'), '--output-dir',
                            str(folder / 'stage2'), '--number', '2', '--number-for-agreement', '2', '--device', 'cpu'])
    printed = capsys.readouterr().out
    assert 'distilled student, least-squares map' in printed and 'trained adapter' not in printed


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--split', 'testC'], 'testC'),
    (['--student-checkpoint', 'nowhere.pth'], 'nowhere.pth'),
    (['--stage', '7', '--number', '2'], 'there is no stage 7: the teacher hands out pixel-word attention of 4 stages'),
    (['--cfg-options', 'model.teacher_ckpt=nowhere.pth'], 'model.teacher_ckpt: .*nowhere.pth'),
    (['--data-root', '/nowhere'], '/nowhere'),
])
def test_errors_are_one_message_with_the_cause(folder, arguments, message):
    with pytest.raises(cli.USER_ERRORS, match=message):
        show(folder, *arguments)


def test_wrong_models_are_refused(folder, small_config):
    with pytest.raises(ValueError, match="small.py is no distillation .model.type='ReferringSegmentor'"):
        show_distillation.main([str(small_config), str(folder / 'alone.pth')])
    with pytest.raises(FileNotFoundError, match='no checkpoint and no work dir .*absent'):
        show_distillation.main([str(folder / 'config.py'), str(folder / 'absent')])
    with pytest.raises(ValueError, match='teacher.pth is a checkpoint of another model'):
        show(folder, '--student-checkpoint', folder / 'teacher.pth')


@pytest.mark.parametrize('arguments', [['--number', '1'], ['--number-for-agreement', '-1'], ['--stage', '-1'],
                                       ['--student-config', 'r18_bert-mini_refcoco']])
def test_bad_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        show_distillation.parse_args(['config.py', 'work_dir', *arguments])
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


def test_choice_of_samples_is_random_in_order_and_the_same_for_a_seed():
    assert show_distillation.choose(3, 0, 0) == show_distillation.choose(3, 9, 0) == [0, 1, 2]
    chosen = show_distillation.choose(1000, 50, 0)
    assert chosen == sorted(set(chosen)) == show_distillation.choose(1000, 50, 0) and len(chosen) == 50
    assert chosen != show_distillation.choose(1000, 50, 1)
