"""The metric of referring image segmentation for mmengine's evaluator."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_gather, all_reduce, barrier, broadcast_object_list, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from mmseg.registry import METRICS
from prettytable import PrettyTable

from .functional import clear_small_predictions, mask_statistics
from .masks import describe, plane, predicted_mask, target_mask
from .predictions import PredictionWriter, merge_parts
from .protocols import get_protocol
from .sums import RISSums, scores_of, sums_of


@METRICS.register_module()
class RISMetric(BaseMetric):
    """mIoU, oIoU and Pr@X over all expressions, under a named protocol.

    The state is a handful of sums, so memory does not grow with the dataset and processes exchange a few numbers.
    Scores are in percent, the same on every process, and named ``mIoU``, ``oIoU``, ``Pr@0.5``, ...; with `generalized`
    also ``gIoU``, ``cIoU``, ``N-acc``, ``T-acc``.

    Under distributed evaluation mmengine's sampler hands sample ``k * processes + r`` to process r and, with
    ``round_up=True``, repeats the first samples until all have equally many: at most the last sample of a process is
    such a repetition, and it is left out. Samplers that do not pad may distribute samples as they like.

    Args:
        protocol: ``'ours'`` (original size, the model's own mask, IoU >= X, both masks empty count 1), ``'lavt'``,
            ``'caris'``, ``'cris'`` (also ETRIS) or ``'detris'``: how their published code evaluates. `lavt` and `caris`
            read the logits at the network's input size: ``model.test_cfg=dict(keep_input_logits=True)``.
        resolution: Replaces a field of the protocol, as do the next six: see
            :class:`~mmseg_ris_kd.evaluation.protocols.Protocol`. None: as in the protocol.
        mask_rule: ``'prediction'``, ``'argmax'`` or ``'threshold'``.
        mask_threshold: Foreground probability for ``mask_rule='threshold'``.
        comparison: ``'>='`` or ``'>'``.
        thresholds: The values X of Pr@X.
        empty_iou: IoU when prediction and target are both empty; ``'nan'`` makes mIoU NaN then, as in CARIS.
        eps: Added to the union.
        generalized: For gRefCOCO: add its four scores, and take Pr@X over the expressions that have a target.
        min_area: With `generalized`, predictions of fewer pixels count as empty, for all scores. Papers on models
            without a no-target classifier use a small number here; 1 changes nothing.
        out_file: File for the predictions, one JSON line per expression
            (:func:`~mmseg_ris_kd.evaluation.predictions.read_predictions`); replaced by every evaluation. If one
            fails, what was predicted so far stays beside it in ``<out_file>.part<rank>``.
        collect_device: ``'cpu'`` or ``'gpu'``, as in every mmengine metric. The sums travel on the device of the
            process group in either case.
        prefix: Put before each name, as in ``val/mIoU``.

    Raises:
        ValueError: An argument has an invalid value.
        ImportError: `out_file` is given and pycocotools is not installed.

    Examples:
        >>> import torch
        >>> metric = RISMetric()
        >>> metric.process({}, [{'pred_sem_seg': {'data': torch.tensor([[[1, 1, 0]]])},
        ...                      'gt_sem_seg': {'data': torch.tensor([[[0, 1, 0]]])}}])
        >>> metric.evaluate(size=1)['mIoU']
        50.0
    """
    default_prefix = ''

    def __init__(self,
                 protocol: str = 'ours',
                 *,
                 resolution: str | None = None,
                 mask_rule: str | None = None,
                 mask_threshold: float | None = None,
                 comparison: str | None = None,
                 thresholds: Sequence[float] | None = None,
                 empty_iou: float | str | None = None,
                 eps: float | None = None,
                 generalized: bool = False,
                 min_area: int = 1,
                 out_file: str | None = None,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if collect_device not in ('cpu', 'gpu'):
            raise ValueError(f"Expected argument `collect_device` to be 'cpu' or 'gpu', but got {collect_device!r}")
        if min_area < 1 or (min_area > 1 and not generalized):
            raise ValueError('Expected argument `min_area` to be at least 1, and 1 without `generalized=True`, but got '
                             f'{min_area} with `generalized={generalized}`')
        self.protocol = get_protocol(protocol, dict(
            resolution=resolution, mask_rule=mask_rule, mask_threshold=mask_threshold, comparison=comparison,
            thresholds=thresholds, empty_iou=empty_iou, eps=eps))
        self.generalized = generalized
        self.min_area = min_area
        self.out_file = out_file
        self._writer = PredictionWriter(out_file, rank=get_dist_info()[0]) if out_file else None
        self._reset()

    def process(self, data_batch: Any, data_samples: Sequence[dict | BaseDataElement]) -> None:
        """Add the samples of one batch to the sums.

        Args:
            data_batch: Not used.
            data_samples: ``SegDataSample`` or their dicts (the evaluator makes dicts of them), with ``gt_sem_seg`` at
                the original size and the prediction that the protocol reads
                (:func:`~mmseg_ris_kd.evaluation.masks.predicted_mask`).

        Raises:
            ValueError: A sample has no target or prediction, or their shapes or values do not fit; the message names
                the sample.
        """
        for sample in data_samples:
            sample = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            prediction = predicted_mask(sample, self.protocol)
            size = tuple(prediction.shape) if self.protocol.resolution == 'input' else None
            try:
                statistics = mask_statistics(prediction, target_mask(sample, size=size))
            except ValueError as error:
                raise ValueError(f'{describe(sample)}: {error}') from error
            if self.generalized:
                statistics = clear_small_predictions(statistics, min_area=self.min_area)
            # the last sample stays apart: evaluate() knows whether it is padding
            self._sums = self._sums + self._last
            self._last, iou = sums_of(statistics, self.protocol, generalized=self.generalized)
            if self._writer is not None:
                mask = prediction if self.protocol.resolution == 'original' else plane(sample, 'pred_sem_seg')
                self._writer.write(sample, mask, intersection=self._last.intersection, union=self._last.union,
                                   iou=iou, protocol=self.protocol.name)

    def evaluate(self, size: int) -> dict[str, float]:
        """Join the sums of all processes, compute and print the scores, and start anew.

        Args:
            size: Number of samples in the dataset.

        Returns:
            Scores in percent by name, the same on every process.

        Raises:
            ValueError: No sample was processed, or not `size` of them after padding is taken off.
        """
        try:
            processed = self._sums.expressions + self._last.expressions
            kept = kept_samples([int(x) for x in all_gather(torch.tensor([processed]))], size)
            rank = get_dist_info()[0]
            sums = self._sums + self._last if kept[rank] == processed else self._sums
            counts, ious = sums.to_tensors()
            all_reduce(counts)
            all_reduce(ious)
            scores = self.compute_metrics(RISSums.from_tensors(counts, ious))
            if self._writer is not None:
                self._merge(kept)
        finally:
            self._reset()
        return {f'{self.prefix}/{name}' if self.prefix else name: value for name, value in scores.items()}

    def compute_metrics(self, results: RISSums) -> dict[str, float]:
        """Compute the scores from the sums over all processes, and print them as a table.

        Args:
            results: Sums over all expressions.

        Returns:
            Scores in percent by name, without prefix.
        """
        scores = scores_of(results, self.protocol, generalized=self.generalized)
        if not is_main_process():
            return scores
        table = PrettyTable(list(scores))
        table.add_row(['-' if math.isnan(value) else f'{value:.2f}' for value in scores.values()])
        note = f', {results.empty_unions} with both masks empty' if results.empty_unions else ''
        print_log(f'protocol "{self.protocol.name}", {results.expressions} expressions{note}, in percent:\n'
                  f'{table.get_string()}', logger='current')
        return scores

    def _reset(self) -> None:
        nothing = RISSums(hits=[0] * len(self.protocol.thresholds))
        self._sums, self._last = nothing, nothing
        if self._writer is not None:
            self._writer.close()

    def _merge(self, kept: list[int]) -> None:
        self._writer.close()
        barrier()  # every part is closed from here on
        failure: list[Exception | None] = [None]
        if is_main_process():
            try:
                merge_parts(self.out_file, kept)
            except (OSError, ValueError) as error:
                failure = [error]
        # all processes fail together, or the others would wait for ever
        broadcast_object_list(failure)
        if failure[0] is not None:
            raise failure[0]
        if is_main_process():
            print_log(f'predictions are in {self.out_file}', logger='current')


def kept_samples(processed: Sequence[int], size: int) -> tuple[int, ...]:
    """How many leading samples of each process are real, the others being padding.

    Args:
        processed: Number of samples that each process saw.
        size: Number of samples in the dataset.

    Returns:
        One number per process; their sum is `size`.

    Raises:
        ValueError: Nothing was processed, or the numbers fit neither an unpadded nor a padded sampler.

    Examples:
        >>> kept_samples([2, 2], size=3)
        (2, 1)
        >>> kept_samples([2, 1], size=3)
        (2, 1)
    """
    processes = len(processed)
    if sum(processed) == 0:
        raise ValueError('RISMetric has no samples to evaluate: the dataset is empty, or process() was never called')
    if sum(processed) == size:
        return tuple(processed)
    if size > 0 and all(count == -(-size // processes) for count in processed):
        return tuple(len(range(rank, size, processes)) for rank in range(processes))
    raise ValueError(f'RISMetric processed {list(processed)} samples on {processes} process(es), but the dataset has '
                     f'{size}: every sample must be evaluated once; padding by mmengine\'s DefaultSampler would give '
                     f'{-(-size // processes)} per process. Look for a sampler that drops or repeats samples')
