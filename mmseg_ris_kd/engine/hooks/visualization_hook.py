"""Write what a model predicted as sheets of pictures, while it is tested."""
from __future__ import annotations

import os
import os.path as osp
from collections.abc import Sequence

import mmcv
import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample

from mmseg_ris_kd.evaluation.functional import intersection_and_union
from mmseg_ris_kd.visualization import Panel, draw_sheet


@HOOKS.register_module()
class ReferringVisualizationHook(Hook):
    """Draw image, expression, target outline and prediction on sheets ``sheet_0001.png``, ``sheet_0002.png``, ...

    The sheets go to ``out_dir`` and to the runner's visualizer (TensorBoard). Under distributed testing every process
    draws its own expressions, to files with its rank in the name; its share is ``max_panels`` divided by the processes.

    Args:
        draw: Draw while testing. Off by default; ``tools/test.py --show-dir`` turns it on.
        draw_val: Draw in every validation too, to the sub-folder ``val_iter_<iteration>``.
        interval: Draw every n-th expression of a process. None: ``max_panels`` of them, spread over the dataset.
        max_panels: Most expressions drawn in one test or validation, over all processes.
        per_sheet: Expressions on a sheet.
        columns: Expressions in a row of a sheet.
        out_dir: Folder for the sheets; None: ``<work_dir>/<timestamp>/vis``.

    Raises:
        ValueError: ``interval``, ``max_panels``, ``per_sheet`` or ``columns`` is smaller than 1.
    """

    def __init__(self,
                 draw: bool = False,
                 draw_val: bool = False,
                 *,
                 interval: int | None = None,
                 max_panels: int = 96,
                 per_sheet: int = 12,
                 columns: int = 4,
                 out_dir: str | None = None) -> None:
        sizes = dict(interval=interval, max_panels=max_panels, per_sheet=per_sheet, columns=columns)
        for name, value in sizes.items():
            if value is not None and value < 1:
                raise ValueError(f'ReferringVisualizationHook: {name} must be at least 1, got {value}')
        self.draw = draw
        self.draw_val = draw_val
        self.interval = interval
        self.max_panels = max_panels
        self.per_sheet = per_sheet
        self.columns = columns
        self.out_dir = out_dir
        self._start()

    def _start(self, expressions: int = 0) -> None:
        self._every = self.interval or max(1, expressions // self.max_panels)
        self._seen = self._drawn = self._sheets = 0
        self._panels: list[Panel] = []

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin with an empty sheet."""
        self._start(len(runner.test_loop.dataloader.dataset))

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin with an empty sheet."""
        self._start(len(runner.val_loop.dataloader.dataset))

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence[SegDataSample] | None = None) -> None:
        """Collect this batch's expressions; write a sheet whenever one is full."""
        if self.draw:
            self._collect(runner, outputs, 'test')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[SegDataSample] | None = None) -> None:
        """Collect this batch's expressions; write a sheet whenever one is full."""
        if self.draw_val:
            self._collect(runner, outputs, 'val')

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the last, partly filled sheet."""
        if self.draw:
            self._finish(runner, 'test')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the last, partly filled sheet."""
        if self.draw_val:
            self._finish(runner, 'val')

    def _collect(self, runner: Runner, outputs: Sequence[SegDataSample] | None, phase: str) -> None:
        quota = -(-self.max_panels // get_world_size())
        for sample in outputs or ():
            chosen = self._seen % self._every == 0 and self._drawn < quota
            self._seen += 1
            if chosen:
                self._panels.append(make_panel(sample))
                self._drawn += 1
                if len(self._panels) == self.per_sheet:
                    self._write(runner, phase)

    def _finish(self, runner: Runner, phase: str) -> None:
        if self._panels:
            self._write(runner, phase)
        if self._sheets:
            runner.logger.info(f'{self._sheets} sheet(s) with {self._drawn} of {self._seen} expressions drawn: '
                               f'{osp.abspath(self._folder(runner, phase))}')

    def _folder(self, runner: Runner, phase: str) -> str:
        folder = osp.join(runner.log_dir, 'vis') if self.out_dir is None else self.out_dir
        return osp.join(folder, f'val_iter_{runner.iter}') if phase == 'val' else folder

    def _write(self, runner: Runner, phase: str) -> None:
        self._sheets += 1
        experiment = runner.experiment_name.removesuffix(f'_{runner.timestamp}')
        title = f'{experiment}: {phase}, sheet {self._sheets}'
        name = f'sheet_{self._sheets:04d}'
        if get_world_size() > 1:
            title += f' of rank {get_rank()}'
            name += f'_rank{get_rank()}'
        sheet = draw_sheet(self._panels, columns=self.columns, title=title)
        self._panels = []
        folder = self._folder(runner, phase)
        os.makedirs(folder, exist_ok=True)
        sheet.save(osp.join(folder, f'{name}.png'))
        # TensorBoard has a slider over steps: the sheets of a test, or the validations of one sheet
        tag, step = ('test_sheet', self._sheets) if phase == 'test' else (f'val_{name}', runner.iter)
        runner.visualizer.add_image(tag, np.asarray(sheet), step)


def make_panel(sample: SegDataSample) -> Panel:
    """Turn one predicted sample into a panel.

    Args:
        sample: With metainfo ``img_path`` and ``expression``, ``pred_sem_seg.data`` (1, H, W) at the original size and,
            where the target is known, ``gt_sem_seg.data`` (1, H, W).

    Returns:
        The panel. Its caption holds the IoU in percent or, for an expression without a target, what was predicted.

    Raises:
        ValueError: The prediction or the target is not as large as the image file.
    """
    # read as LoadReferringImage does: the pixels as stored, whatever orientation EXIF states
    image = mmcv.imread(sample.img_path, flag='color_ignore_orientation', channel_order='rgb', backend='pillow')
    masks = {}
    for name in ('pred_sem_seg', 'gt_sem_seg'):
        if name not in sample:
            continue
        masks[name] = sample.get(name).data[0].cpu().numpy() != 0
        if masks[name].shape != image.shape[:2]:
            raise ValueError(f'{name} of "{sample.expression}" has shape {masks[name].shape}, but its image '
                             f'{sample.img_path} has {image.shape[:2]}: in a test pipeline LoadReferringMask stands '
                             'after Resize, so that targets and predictions keep the original size')
    prediction, target = masks.get('pred_sem_seg'), masks.get('gt_sem_seg')
    return Panel(image, sample.expression, target, prediction, _caption(prediction, target))


def _caption(prediction: np.ndarray | None, target: np.ndarray | None) -> str | None:
    if prediction is None or target is None:
        return None
    if not target.any():
        return f'no target, predicted {prediction.sum()} pixels' if prediction.any() else 'no target, none predicted'
    intersection, union = intersection_and_union(prediction, target)
    return f'IoU {100 * intersection.item() / union.item():.1f}'
