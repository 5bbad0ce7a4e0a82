"""The browse tool end to end on a tiny REFER dataset, and its errors."""
from __future__ import annotations

import importlib.util
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_ris_kd.apis import cli

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'browse_dataset.py'
SPEC = importlib.util.spec_from_file_location('browse_dataset', TOOL)
browse_dataset = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(browse_dataset)

CONFIG = """
resize = dict(type='Resize', scale=(48, 48), keep_ratio=False, backend='pillow')
train_dataloader = dict(dataset=dict(
    type='RefCOCODataset', data_root=r'{root}', split='train', pipeline=[
        dict(type='LoadReferringImage'), dict(type='LoadReferringMask'), dict(type='SampleExpression'), resize,
        dict(type='RandomReferringFlip', prob=0.5), dict(type='PackReferringInputs')]))
test_dataloader = dict(dataset=dict(
    type='RefCOCODataset', data_root=r'{root}', split='testA', test_mode=True, pipeline=[
        dict(type='LoadReferringImage'), resize, dict(type='LoadReferringMask'), dict(type='SampleExpression'),
        dict(type='PackReferringInputs')]))
"""


def write_refer(root, images):
    """A REFER dataset: one image and one ref with two expressions each; the first ``images - 2`` are in train."""
    folder = root / 'images' / 'mscoco' / 'images' / 'train2014'
    folder.mkdir(parents=True)
    (root / 'refcoco').mkdir()
    refs, coco = [], dict(images=[], annotations=[], categories=[dict(id=1, name='thing')])
    for i in range(images):
        Image.new('RGB', (64, 40), (20 * i, 90, 90)).save(folder / f'{i}.png')
        coco['images'].append(dict(id=i, file_name=f'{i}.png', height=40, width=64))
        coco['annotations'].append(dict(id=i, image_id=i, category_id=1, bbox=[8, 8, 20, 20], area=400, iscrowd=0,
                                        segmentation=[[8, 8, 28, 8, 28, 28, 8, 28]]))
        sentences = [dict(sent_id=2 * i + k, raw=text, sent=text, tokens=text.split())
                     for k, text in enumerate((f'left square {i}', f'the square {i} \U0001f600'))]
        refs.append(dict(ref_id=i, ann_id=i, image_id=i, category_id=1, split='train' if i < images - 2 else 'testA',
                         sent_ids=[2 * i, 2 * i + 1], sentences=sentences, file_name=f'{i}_{i}.png'))
    (root / 'refcoco' / 'instances.json').write_text(json.dumps(coco))
    (root / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps(refs, protocol=2))


@pytest.fixture
def config(tmp_path):
    write_refer(tmp_path / 'refer', 7)
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=tmp_path / 'refer'))
    return str(path)


def test_train_sheets(config, tmp_path, capsys):
    paths = browse_dataset.main([config, '--output-dir', str(tmp_path / 'out'), '--per-sheet', '3'])
    assert [Path(path).name for path in paths] == ['sheet_0001.png', 'sheet_0002.png']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['sheet_0001.png', 'sheet_0002.png']
    assert Image.open(paths[0]).width > Image.open(paths[1]).width  # three panels, then two
    assert '5 of 5 records on 2 sheet(s)' in capsys.readouterr().out


def test_split_takes_the_test_loader_and_every_expression(config, tmp_path, capsys):
    browse_dataset.main([config, '--split', 'testA', '--output-dir', str(tmp_path / 'out')])
    assert '4 of 4 records on 1 sheet(s)' in capsys.readouterr().out


def test_same_seed_same_sheet(config, tmp_path):
    def sheet(name, seed):
        folder = str(tmp_path / name)
        path, = browse_dataset.main([config, '--number', '3', '--seed', str(seed), '--output-dir', folder])
        return np.asarray(Image.open(path))

    first = sheet('a', 1)
    assert np.array_equal(first, sheet('b', 1))
    others = [sheet(f'c{seed}', seed) for seed in (2, 3, 4)]
    assert any(other.shape != first.shape or not np.array_equal(other, first) for other in others)


def test_cfg_options_reach_the_dataset(config, tmp_path, capsys):
    browse_dataset.main([config, '--output-dir', str(tmp_path / 'out'), '--cfg-options',
                         'train_dataloader.dataset.expression_mode=all'])
    assert '10 of 10 records' in capsys.readouterr().out


def test_data_root_reaches_the_dataset(config, tmp_path, capsys):
    write_refer(tmp_path / 'other', 4)
    browse_dataset.main([config, '--output-dir', str(tmp_path / 'out'), '--data-root', str(tmp_path / 'other')])
    assert '2 of 2 records' in capsys.readouterr().out


def test_the_help_shows_an_override_of_the_loader_that_is_read(config, tmp_path, capsys):
    with pytest.raises(SystemExit):
        browse_dataset.parse_args(['--help'])
    example, = re.findall(r'test_dataloader\.\S+=\w+', capsys.readouterr().out)
    browse_dataset.main([config, '--split', 'testA', '--output-dir', str(tmp_path / 'out'), '--cfg-options', example])


def test_real_sample(shared_data, tmp_path, capsys):
    (tmp_path / 'config.py').write_text(CONFIG.format(root=shared_data / 'refer'))
    options = [f'test_dataloader.dataset.cache_dir={tmp_path / "cache"}']
    paths = browse_dataset.main([str(tmp_path / 'config.py'), '--split', 'testA', '--number', '5', '--output-dir',
                                 str(tmp_path / 'out'), '--cfg-options'] + options)
    assert '5 of 30 records on 1 sheet(s)' in capsys.readouterr().out and len(paths) == 1


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--split', 'testC'], 'testC'),
    (['--loader', 'val'], 'has no val_dataloader.dataset; --loader can be: train, test'),
    (['--cfg-options', 'train_dataloader.dataset.data_root=/nowhere'], '/nowhere'),
    (['--data-root', '/nowhere'], '/nowhere'),
    (['--cfg-options', 'train_dataloader.dataset.spilt=val'], 'spilt'),
    (['--cfg-options', 'train_dataloader.dataset.type=RefCOCCODataset'], 'RefCOCCODataset'),
])
def test_errors_are_one_message_with_the_cause(config, tmp_path, arguments, message):
    with pytest.raises(cli.USER_ERRORS) as error:
        browse_dataset.main([config, '--output-dir', str(tmp_path / 'out')] + arguments)
    assert message in str(error.value)
    assert not (tmp_path / 'out').exists()


def test_a_missing_config_and_bad_numbers_are_refused(config, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match='absent.py'):
        browse_dataset.main([str(tmp_path / 'absent.py')])
    for option in ('--number', '--per-sheet', '--columns'):
        with pytest.raises(SystemExit):
            browse_dataset.main([config, option, '-1'])
        assert f'{option} must be' in capsys.readouterr().err


def test_split_of_a_wrapping_dataset_is_refused():
    cfg = Config(dict(train_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[]))))
    with pytest.raises(ValueError, match='--split val cannot be applied: train_dataloader.dataset of c.py is a Concat'):
        browse_dataset.dataset_config(cfg, 'train', 'val', 'c.py')


def test_panel_shows_rgb_at_the_size_of_the_target():
    inputs = torch.zeros(3, 48, 48, dtype=torch.uint8)
    inputs[0] = 200  # blue: BGR
    sample = SegDataSample(metainfo=dict(expression='left'))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 64, dtype=torch.uint8))
    panel = browse_dataset.make_panel(dict(inputs=inputs, data_samples=sample))
    assert panel.image.shape == (40, 64, 3) and panel.image[0, 0].tolist() == [0, 0, 200]
    assert panel.caption == 'no target' and panel.prediction is None


def test_choice_is_random_without_repetition_or_everything_in_order():
    assert browse_dataset.choose(4, 0, 0) == browse_dataset.choose(4, 9, 0) == [0, 1, 2, 3]
    chosen = browse_dataset.choose(1000, 50, 0)
    assert len(set(chosen)) == 50 and max(chosen) < 1000 and chosen != sorted(chosen)
    with pytest.raises(ValueError, match='no records'):
        browse_dataset.choose(0, 5, 0)


@pytest.mark.parametrize(('split', 'loader'), [(None, 'train'), ('train', 'train'), ('val', 'val'), ('testA', 'test')])
def test_loader_follows_the_split(split, loader):
    assert browse_dataset.loader_of_split(split) == loader
