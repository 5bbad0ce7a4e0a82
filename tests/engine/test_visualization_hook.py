"""What the hook draws, how often, and where it writes it."""
from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_ris_kd.engine.hooks import visualization_hook as module
from mmseg_ris_kd.engine.hooks.visualization_hook import ReferringVisualizationHook, make_panel

HEIGHT, WIDTH = 20, 30


@pytest.fixture
def image_path(tmp_path):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = 200  # red
    Image.fromarray(pixels).save(tmp_path / 'image.png')
    return str(tmp_path / 'image.png')


def sample_of(image_path, expression='red', *, target=(0, 10), prediction=(5, 10)):
    """Masks that fill the columns from the first number to the second; None leaves a mask out."""
    sample = SegDataSample(metainfo=dict(img_path=image_path, expression=expression))
    for name, columns in (('gt_sem_seg', target), ('pred_sem_seg', prediction)):
        if columns is not None:
            mask = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.uint8)
            mask[..., columns[0]:columns[1]] = 1
            sample.set_data({name: PixelData(data=mask)})
    return sample


class FakeRunner:
    experiment_name, timestamp = 'r18_20260101_000000', '20260101_000000'
    iter = 40

    def __init__(self, folder, expressions=0):
        loop = types.SimpleNamespace(dataloader=types.SimpleNamespace(dataset=range(expressions)))
        self.test_loop = self.val_loop = loop
        self.log_dir = str(folder)
        self.messages, self.images = [], []
        self.logger = types.SimpleNamespace(info=self.messages.append)
        self.visualizer = types.SimpleNamespace(add_image=lambda *args: self.images.append(args))


def run(hook, runner, samples, *, phase='test', batch_size=3):
    getattr(hook, f'before_{phase}_epoch')(runner)
    for index in range(0, len(samples), batch_size):
        getattr(hook, f'after_{phase}_iter')(runner, index // batch_size, None, samples[index:index + batch_size])
    getattr(hook, f'after_{phase}_epoch')(runner, {})


def drawn_expressions(monkeypatch):
    """Record the panels of each sheet instead of drawing them."""
    sheets = []

    def record(panels, *, columns, title):
        assert title == f'r18: test, sheet {len(sheets) + 1}' and columns == 4
        sheets.append([panel.expression for panel in panels])
        return Image.new('RGB', (8, 8))

    monkeypatch.setattr(module, 'draw_sheet', record)
    return sheets


def test_caption_is_the_iou_in_percent(image_path):
    # prediction: columns 5..14, target 0..9: I = 5, U = 15
    panel = make_panel(sample_of(image_path, target=(0, 10), prediction=(5, 15)))
    assert panel.caption == 'IoU 33.3'
    assert panel.expression == 'red'
    assert panel.image[0, 0].tolist() == [200, 0, 0]  # RGB
    assert panel.target.sum() == panel.prediction.sum() == 200


@pytest.mark.parametrize(('target', 'prediction', 'caption'), [
    ((0, 10), (0, 10), 'IoU 100.0'), ((0, 10), (0, 0), 'IoU 0.0'), ((0, 0), (0, 0), 'no target, none predicted'),
    ((0, 0), (0, 2), 'no target, predicted 40 pixels'), (None, (0, 10), None)])
def test_caption_of_empty_and_missing_masks(image_path, target, prediction, caption):
    assert make_panel(sample_of(image_path, target=target, prediction=prediction)).caption == caption


def test_missing_target_gives_a_panel_without_target(image_path):
    panel = make_panel(sample_of(image_path, target=None))
    assert panel.target is None and panel.prediction.any()


def test_exif_orientation_is_ignored_as_in_loading(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to view
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'rotated.jpg', exif=exif)
    assert make_panel(sample_of(str(tmp_path / 'rotated.jpg'))).image.shape == (HEIGHT, WIDTH, 3)


def test_grayscale_image_becomes_three_channels(tmp_path):
    Image.new('L', (WIDTH, HEIGHT), 77).save(tmp_path / 'gray.jpg')
    assert make_panel(sample_of(str(tmp_path / 'gray.jpg'))).image.shape == (HEIGHT, WIDTH, 3)


def test_a_mask_of_another_size_is_refused_by_name(image_path):
    sample = sample_of(image_path)
    del sample.gt_sem_seg
    sample.gt_sem_seg = PixelData(data=torch.ones(1, 5, 6))
    with pytest.raises(ValueError, match=r'gt_sem_seg of "red" has shape \(5, 6\), but its image .*image.png'):
        make_panel(sample)


def test_sheets_are_written_when_full_and_at_the_end(image_path, tmp_path):
    runner, out_dir = FakeRunner(tmp_path), tmp_path / 'deep' / 'show'
    hook = ReferringVisualizationHook(True, per_sheet=4, columns=2, out_dir=str(out_dir))
    run(hook, runner, [sample_of(image_path, f'expression {i}') for i in range(10)])
    assert sorted(path.name for path in out_dir.iterdir()) == [f'sheet_000{i}.png' for i in (1, 2, 3)]
    heights = [Image.open(path).height for path in sorted(out_dir.iterdir())]
    assert heights[0] == heights[1] > heights[2]  # two rows, two rows, one row
    assert len(runner.messages) == 1
    assert '3 sheet(s) with 10 of 10 expressions' in runner.messages[0] and str(out_dir) in runner.messages[0]
    assert [(name, step) for name, _, step in runner.images] == [('test_sheet', i) for i in (1, 2, 3)]
    assert runner.images[0][1].dtype == np.uint8
    np.testing.assert_array_equal(runner.images[2][1], np.asarray(Image.open(out_dir / 'sheet_0003.png')))


def test_interval_and_max_panels_choose_expressions_across_batches(image_path, tmp_path, monkeypatch):
    sheets = drawn_expressions(monkeypatch)
    hook = ReferringVisualizationHook(True, interval=4, max_panels=5, per_sheet=3, out_dir=str(tmp_path / 'v'))
    run(hook, FakeRunner(tmp_path), [sample_of(image_path, str(i)) for i in range(40)])
    assert sheets == [['0', '4', '8'], ['12', '16']]


def test_off_by_default(image_path, tmp_path, monkeypatch):
    sheets = drawn_expressions(monkeypatch)
    runner = FakeRunner(tmp_path / 'log')
    for phase in ('test', 'val'):
        run(ReferringVisualizationHook(), runner, [sample_of(image_path)] * 20, phase=phase)
    assert sheets == [] and runner.messages == [] and not (tmp_path / 'log').exists()


def test_validation_writes_to_a_folder_of_its_iteration_and_starts_anew(image_path, tmp_path):
    runner = FakeRunner(tmp_path)
    hook = ReferringVisualizationHook(draw_val=True, max_panels=2)
    for runner.iter in (40, 80):
        run(hook, runner, [sample_of(image_path)] * 5, phase='val')
    for iteration in (40, 80):
        folder = tmp_path / 'vis' / f'val_iter_{iteration}'
        assert [path.name for path in folder.iterdir()] == ['sheet_0001.png']
    assert [(name, step) for name, _, step in runner.images] == [('val_sheet_0001', 40), ('val_sheet_0001', 80)]


def test_each_process_writes_its_own_files_and_shares_the_quota(image_path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(module, 'get_rank', lambda rank=rank: rank)
        runner = FakeRunner(tmp_path)
        run(ReferringVisualizationHook(True, max_panels=3, per_sheet=2), runner, [sample_of(image_path)] * 6)
        assert '1 sheet(s) with 2 of 6' in runner.messages[0]
    written = sorted(path.name for path in (tmp_path / 'vis').iterdir())
    assert written == ['sheet_0001_rank0.png', 'sheet_0001_rank1.png']


@pytest.mark.parametrize('name', ['interval', 'max_panels', 'per_sheet', 'columns'])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f'{name} must be at least 1, got 0'):
        ReferringVisualizationHook(**{name: 0})


class Echo(BaseModel):
    """Returns the samples it is given."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return data_samples


class Nothing(BaseMetric):
    """Counts samples."""

    def process(self, data_batch, data_samples):
        self.results += [0] * len(data_samples)

    def compute_metrics(self, results):
        return {'samples': len(results)}


def test_in_a_real_runner_the_default_folder_lies_beside_the_log(image_path, tmp_path):
    items = [dict(inputs=torch.zeros(3, 4, 4), data_samples=sample_of(image_path, f'{i}')) for i in range(5)]
    runner = Runner(
        model=Echo(), work_dir=str(tmp_path / 'work'), experiment_name='vis_hook_test', test_cfg=dict(),
        test_dataloader=dict(dataset=items, batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False),
                             collate_fn=dict(type='pseudo_collate')),
        test_evaluator=[Nothing()], visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        custom_hooks=[HOOKS.build(dict(type='ReferringVisualizationHook', draw=True, per_sheet=3))])
    runner.test()
    written = sorted((tmp_path / 'work').glob('*/vis/*.png'))
    assert [path.name for path in written] == ['sheet_0001.png', 'sheet_0002.png']
    # the visualizer got them too
    assert len(list((tmp_path / 'work').glob('*/vis_data/vis_image/test_sheet_*.png'))) == 2


def test_panels_are_spread_over_all_expressions(image_path, tmp_path, monkeypatch):
    drawn = drawn_expressions(monkeypatch)
    hook = ReferringVisualizationHook(draw=True, max_panels=3, out_dir=str(tmp_path / 'sheets'))
    run(hook, FakeRunner(tmp_path, 11), [sample_of(image_path, f'number {i}') for i in range(11)])
    assert [expression for sheet in drawn for expression in sheet] == ['number 0', 'number 3', 'number 6']
