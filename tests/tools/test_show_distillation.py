"""The pictures of a distillation through the command line, and its errors."""
from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
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
        'agreement.json', 'agreement.png', 'attention_01.png', 'attention_02.png', 'attention_03.png', 'relation.png']
    assert all(np.asarray(Image.open(path).convert('L')).std() > 5 for path in tmp_path.glob('*.png'))
    rows = [line.split('|')[1].strip() for line in done.stdout.splitlines() if line.startswith('|')]
    assert rows == ['', 'teacher', 'student alone', 'distilled student']
    models = json.loads((tmp_path / 'agreement.json').read_text())['models']
    assert [Path(models[name]['checkpoint']).relative_to(folder).as_posix() for name in models] == [
        'teacher.pth', 'alone.pth', 'distilled/best_mIoU_epoch_1.pth']
    for line in ('student alone, least-squares map, L_ch ', 'distilled student, least-squares map, L_ch ',
                 'distilled student, trained adapter, L_ch '):
        assert line in done.stdout
    assert 'student alone, trained adapter' not in done.stdout


def test_two_models_on_a_part_of_another_split(folder, capsys, monkeypatch):
    """A teacher that takes the whole image for the target of some expressions; its student is always right."""
    areas, drawn, draw = {}, [], show_distillation.draw_attention_sheet

    def predict(model, batch):
        samples = batch['data_samples']
        for sample in samples:
            wrong, target = len(sample.expression) % 2, sample.gt_sem_seg.data
            areas[sample.img_path, sample.expression] = float(target.float().mean()) if wrong else None
            whole = wrong and model.name == 'teacher'
            sample.pred_sem_seg = PixelData(data=torch.ones_like(target) if whole else target.clone())
        return copy.deepcopy(samples)

    def record(image, expression, *args, **options):
        drawn.append(expression)
        return draw(image, expression, *args, **options)

    monkeypatch.setattr(show_distillation.ObservedModel, 'predict', predict)
    monkeypatch.setattr(show_distillation, 'draw_attention_sheet', record)
    folder.joinpath('out').mkdir(exist_ok=True)
    for number in (7, 99):
        (folder / 'out' / f'attention_{number:02d}.png').touch()
    show(folder, '--split', 'testA', '--number', 2, '--number-for-agreement', 5, '--stage', 2, '--show', 'student-only')
    counted = dict(areas)  # the sheets are of some of them
    printed = capsys.readouterr().out
    assert 'agreement on 5 of ' in printed and 'of testA' in printed and 'student alone' not in printed
    wrong = [area for area in counted.values() if area is not None]
    assert 0 < len(wrong) < len(counted) == 5 and all(area < 0.5 for area in wrong)
    assert f'teacher wrong: {len(wrong)} of 5 expressions, ' in printed
    assert len(drawn) == min(2, len(wrong)) and all(len(expression) % 2 for expression in drawn)
    sheets = [f'attention_{number + 1:02d}.png' for number in range(len(drawn))]
    assert sorted(path.name for path in (folder / 'out').iterdir()) == [
        'agreement.json', 'agreement.png', *sheets, 'relation.png']
    report = json.loads((folder / 'out' / 'agreement.json').read_text())
    assert (report['split'], report['expressions'], report['threshold']) == ('testA', 5, 0.5)
    assert report['models']['teacher']['right'] == 5 - len(wrong)
    student = report['models']['distilled student']
    assert student['counts'] == dict(both=5 - len(wrong), neither=0, student_only=len(wrong), teacher_only=0)
    assert student['iou_with_wrong_teacher'] == pytest.approx(100 * sum(wrong) / len(wrong))


def outcomes(student, teacher):
    ious = {'teacher': torch.tensor(teacher), 'student alone': torch.tensor([0.2, 0.3, 0.6, 0.1]),
            'distilled student': torch.tensor(student)}
    return show_distillation.Outcomes([3, 5, 8, 9], ious, {})


@pytest.mark.parametrize(('option', 'chosen', 'line'), [
    ('student-only', [5, 9], 'teacher wrong: 2 of 4 expressions, all are shown'),
    ('teacher-only', [], 'distilled student wrong: 0 of 4 expressions, nothing to show'),
    ('alone-only', [8], 'teacher wrong: 1 of 4 expressions, all are shown')])
def test_shown_are_those_that_one_model_alone_gets_right(option, chosen, line, capsys):
    args = show_distillation.parse_args(['config.py', 'work_dir', '--number', '2', '--show', option,
                                         '--student-checkpoint', 'alone.pth'])
    found = outcomes([0.9, 0.5, 0.1, 0.8], [0.5, 0.4, 0.2, 0.0])
    assert show_distillation.choose_shown(20, found, args) == chosen
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 and printed[0].startswith(f'--show {option}: ') and printed[0].endswith(line)


def test_of_many_some_are_shown(capsys):
    args = show_distillation.parse_args(['config.py', 'work_dir', '--number', '2', '--show', 'student-only'])
    chosen = show_distillation.choose_shown(20, outcomes([1., 1., 1., 1.], [0., 0., 0., 0.]), args)
    assert len(set(chosen)) == 2 and set(chosen) < {3, 5, 8, 9} and '4 of 4' in capsys.readouterr().out
    args.show = 'random'  # of the whole split
    assert show_distillation.choose_shown(20, outcomes([1.] * 4, [1.] * 4), args) == show_distillation.choose(20, 2, 0)


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


def test_student_alone_and_distillation_are_not_taken_for_each_other(folder):
    with pytest.raises(ValueError, match='--student-checkpoint: .*best_mIoU_epoch_1.pth is a checkpoint of a distill.*'
                                         'give that of the student trained alone'):
        show(folder, '--student-checkpoint', folder / 'distilled')
    with pytest.raises(ValueError, match='alone.pth: this is a student trained alone.*not a distillation') as error:
        show_distillation.main([str(folder / 'config.py'), str(folder / 'alone.pth'), '--device', 'cpu'])
    assert 'missing' not in str(error.value)
    with pytest.raises(ValueError, match='teacher.pth is a checkpoint of another model'):
        show_distillation.main([str(folder / 'config.py'), str(folder / 'teacher.pth'), '--device', 'cpu'])


@pytest.mark.parametrize('arguments', [['--number', '1'], ['--number-for-agreement', '-1'], ['--stage', '-1'],
                                       ['--student-config', 'r18_bert-mini_refcoco'], ['--show', 'alone-only']])
def test_bad_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        show_distillation.parse_args(['config.py', 'work_dir', *arguments])
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


def test_choice_of_samples_is_random_in_order_and_the_same_for_a_seed():
    assert show_distillation.choose(3, 0, 0) == show_distillation.choose(3, 9, 0) == [0, 1, 2]
    chosen = show_distillation.choose(1000, 50, 0)
    assert chosen == sorted(set(chosen)) == show_distillation.choose(1000, 50, 0) and len(chosen) == 50
    assert chosen != show_distillation.choose(1000, 50, 1)
