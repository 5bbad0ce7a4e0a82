"""Tests of the metric: published protocols by golden values, processes, errors."""
import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_rank
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

from mmseg_ris_kd.evaluation import RISMetric, intersection_and_union, iou, read_predictions
from mmseg_ris_kd.evaluation.ris_metric import kept_samples


def data_sample(target, *, prediction=None, logits=None, input_logits=None, **metainfo):
    sample = SegDataSample(metainfo=metainfo)
    fields = dict(gt_sem_seg=target[None], pred_sem_seg=None if prediction is None else prediction[None],
                  seg_logits=logits, input_seg_logits=input_logits)
    for name, data in fields.items():
        if data is not None:
            sample.set_data({name: PixelData(data=torch.as_tensor(np.ascontiguousarray(data)))})
    return sample


def evaluate(samples, batch=3, **options):
    evaluator = Evaluator([METRICS.build(dict(type='RISMetric', **options))])
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start:start + batch])
    return evaluator.evaluate(len(samples))


# ---------------------------------------------------------------- golden values of the published evaluation code
class Goldens:

    def __init__(self, folder):
        self.arrays = np.load(folder / 'metrics.npz')
        self.expected = json.loads((folder / 'metrics.json').read_text())['protocols']
        self.recipe = runpy.run_path(str(folder / 'recipe.py'))
        self.keys = range(self.recipe['N'])

    def mask(self, name, k, size=None):
        height, width = size or self.arrays['sizes_hw'][k]
        return np.unpackbits(self.arrays[f'{name}/{k:02d}'], count=height * width).reshape(height, width)


@pytest.fixture(scope='module')
def goldens(shared_data):
    return Goldens(shared_data / 'goldens')


def two_channels(score):
    return np.stack([np.full_like(score, 1 / 32), score])


def check(scores, expected, *, oiou='oIoU', rel=1e-9):
    """Precision in the goldens went through float32 in the CRIS family: 52.4999976 for 52.5."""
    assert scores['mIoU'] == pytest.approx(expected['mIoU'], rel=rel, nan_ok=True)
    assert scores['oIoU'] == pytest.approx(expected[oiou], rel=1e-12)
    precision = {name: value for name, value in scores.items() if name.startswith('Pr@')}
    assert precision == pytest.approx({f'Pr@{x}': value for x, value in expected['pr'].items()}, rel=1e-7)


def ious_in(path):
    return np.array([record['iou'] for record in read_predictions(path)])


@pytest.mark.parametrize('name', ['lavt', 'lavt_val'])
def test_lavt_native(goldens, name, tmp_path):
    """Same-size masks: LAVT's arithmetic; its validation loop differs for I = 0, which changes no number."""
    samples = [data_sample(goldens.mask('gt', k), prediction=goldens.mask('pred', k),
                           input_logits=two_channels(goldens.recipe['pred_native'](k))) for k in goldens.keys]
    scores = evaluate(samples, protocol='lavt', out_file=str(tmp_path / 'p.jsonl'))
    check(scores, goldens.expected[name]['native'])
    assert np.array_equal(ious_in(tmp_path / 'p.jsonl'), goldens.arrays[f'{name}_native_iou'])


def test_lavt_at_its_input_size(goldens, tmp_path):
    samples = [data_sample(goldens.mask('gt', k), prediction=goldens.mask('pred', k),
                           input_logits=two_channels(goldens.recipe['pred_square'](k, 480))) for k in goldens.keys]
    scores = evaluate(samples, protocol='lavt', out_file=str(tmp_path / 'p.jsonl'))
    check(scores, goldens.expected['lavt']['square480'])
    assert np.array_equal(ious_in(tmp_path / 'p.jsonl'), goldens.arrays['lavt_square480_iou'])
    # the masks in the file are those of the original size
    for k, record in enumerate(read_predictions(tmp_path / 'p.jsonl')):
        assert np.array_equal(record['mask'], goldens.mask('pred', k))
    # and our own protocol reads these: the native numbers, but for the one pair of empty masks
    expected = goldens.expected['lavt']['native']
    scores = evaluate(samples)
    assert scores['mIoU'] == pytest.approx(expected['mIoU'] + 100 / 40)
    assert scores['oIoU'] == pytest.approx(expected['oIoU'])
    assert scores['Pr@0.9'] == pytest.approx(expected['pr']['0.9'] + 100 / 40)


@pytest.mark.parametrize('mode', ['native', 'square448'])
def test_caris(goldens, mode):
    """CARIS divides in float32; hence 1e-6."""
    def sample(k):
        score = goldens.recipe['pred_native'](k) if mode == 'native' else goldens.recipe['pred_square'](k, 448)
        return data_sample(goldens.mask('gt', k), input_logits=two_channels(score))
    scores = evaluate([sample(k) for k in goldens.keys], protocol='caris')
    assert math.isnan(scores['mIoU'])
    check(scores, goldens.expected['caris'][f'{mode}_all'])
    both_empty = goldens.recipe['BOTH_EMPTY']
    scores = evaluate([sample(k) for k in goldens.keys if k not in both_empty], protocol='caris')
    check(scores, goldens.expected['caris'][f'{mode}_without_both_empty'], rel=1e-6)


@pytest.mark.parametrize('name, protocol', [('cris', 'cris'), ('etris', 'cris'), ('detris', 'detris')])
@pytest.mark.parametrize('channels', [1, 2])
def test_cris_family_native(goldens, name, protocol, channels, tmp_path):
    # logits either side of 0.35: -0.6190392
    logits = [np.where(goldens.mask('pred', k), -0.61, -0.63).astype(np.float32)[None] for k in goldens.keys]
    if channels == 2:
        logits = [np.concatenate([0.25 - x / 2, 0.25 + x / 2]) for x in logits]
    samples = [data_sample(goldens.mask('gt', k), logits=logits[k]) for k in goldens.keys]
    scores = evaluate(samples, protocol=protocol, out_file=str(tmp_path / 'p.jsonl'))
    check(scores, goldens.expected[name]['native'], oiou='derived_oIoU')
    records = list(read_predictions(tmp_path / 'p.jsonl'))
    assert [r['iou'] for r in records] == goldens.arrays[f'{name}_native_iou'].tolist()
    assert [r['intersection'] for r in records] == goldens.arrays[f'{name}_native_inter'].tolist()
    assert [r['union'] for r in records] == goldens.arrays[f'{name}_native_union'].tolist()


def test_cris_final_masks_of_the_letterbox(goldens):
    """CRIS' own masks at the original size, after its inverse warp: another 40 pairs for the same arithmetic."""
    samples = [data_sample(goldens.mask('gt', k), logits=goldens.mask('cris_pred', k)[None] * 2.0 - 1)
               for k in goldens.keys]
    check(evaluate(samples, protocol='cris'), goldens.expected['cris']['letterbox416'], oiou='derived_oIoU')


@pytest.mark.parametrize('protocol, size', [('ours', None), ('lavt', 480), ('caris', 448), ('cris', None),
                                            ('detris', None)])
def test_table_of_the_docs(goldens, protocol, size):
    page = Path(__file__).resolve().parents[2] / 'docs' / 'evaluation.md'
    if not page.is_file():
        pytest.skip('no docs beside the package')
    section = page.read_text().split('## Why published numbers differ')[1]
    header, _, *rows = [[cell.strip() for cell in line.strip('|').split('|')]
                        for line in section.splitlines() if line.startswith('|')]
    expected, = (dict(zip(header, row)) for row in rows if f'`{protocol}`' in row[0])
    samples = [data_sample(
        goldens.mask('gt', k), prediction=goldens.mask('pred', k),
        logits=two_channels(goldens.recipe['pred_native'](k)),
        input_logits=size and two_channels(goldens.recipe['pred_square'](k, size))) for k in goldens.keys]
    scores = evaluate(samples, protocol=protocol)
    for name in header[1:]:
        shown = f'{scores[name]:.2f}'.replace('nan', 'NaN') if name in scores else '-'
        assert shown == expected[name], name


def test_precision_at_exactly_half(goldens):
    """k = 28 has IoU 1/2: it counts with >=, not with >."""
    sample = data_sample(goldens.mask('gt', 28), prediction=goldens.mask('pred', 28))
    assert evaluate([sample])['Pr@0.5'] == 100
    assert evaluate([sample], comparison='>')['Pr@0.5'] == 0


def test_cris_counts_exactly_nine_tenths_but_not_six():
    """CRIS' thresholds are float32: .8999999762 lies below 0.9, .6000000238 above 0.6."""
    target = np.ones((40, 50), np.uint8)
    for tenths, expected in ((6, 0.0), (9, 100.0)):
        logits = np.full((1, 40, 50), -9.0)
        logits[:, :4 * tenths] = 9
        assert evaluate([data_sample(target, logits=logits)], protocol='cris')[f'Pr@0.{tenths}'] == expected


# ---------------------------------------------------------------- random data against a plain loop, several processes
def random_samples(n, seed=0):
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(n):
        shape = tuple(rng.integers(2, 30, 2))
        target, prediction = ((rng.random(shape) < rng.choice([0, 0.4, 0.9])).astype(np.uint8) for _ in range(2))
        samples.append(data_sample(target, prediction=prediction, sent_id=i, ref_id=i // 2, ann_id=i,
                                   img_path=f'{i}.jpg', expression=f'thing {i}'))
    return samples


def naive_scores(samples, *, empty_iou=1.0):
    counts = [tuple(int(x) for x in intersection_and_union(s.pred_sem_seg.data[0], s.gt_sem_seg.data[0]))
              for s in samples]
    ious = [empty_iou if u == 0 else i / u for i, u in counts]
    scores = {'mIoU': 100 * math.fsum(ious) / len(ious),
              'oIoU': 100 * sum(i for i, _ in counts) / sum(u for _, u in counts)}
    scores.update({f'Pr@{x}': 100 * sum(v >= x for v in ious) / len(ious) for x in (0.5, 0.6, 0.7, 0.8, 0.9)})
    return scores


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('empty_iou', [0.0, 1.0])
def test_equals_a_plain_loop(seed, empty_iou):
    samples = random_samples(37, seed)
    assert evaluate(samples, empty_iou=empty_iou) == pytest.approx(naive_scores(samples, empty_iou=empty_iou), abs=1e-9)


CASES = [(size, round_up) for size in (1, 2, 3, 4, 7, 12) for round_up in (True, False)]


def _process(rank, world_size, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank,
                                         world_size=world_size)
    found = {}
    metrics = {protocol: RISMetric(**_options(protocol), out_file=f'{folder}/{world_size}.jsonl')
               for protocol in ('ours', 'generalized')}
    for name, metric in metrics.items():
        for size, round_up in CASES:
            samples = random_samples(size, seed=size)
            indices = list(DefaultSampler(samples, shuffle=False, round_up=round_up))
            for start in range(0, len(indices), 2):
                metric.process({}, [samples[i].to_dict() for i in indices[start:start + 2]])
            scores = metric.evaluate(size)
            if get_rank() == 0:
                scores['ids'] = [r['sent_id'] for r in read_predictions(metric.out_file)]
            found[f'{name} {size} {round_up}'] = scores
    # a process that sees too few samples: all processes say so, none waits for ever
    metric = RISMetric()
    for sample in random_samples(5 if rank == 0 else 2):
        metric.process({}, [sample])
    try:
        metric.evaluate(12)
    except ValueError as error:
        found['error'] = str(error)
    # predictions of one process lost: likewise
    metric = RISMetric(out_file=f'{folder}/private{rank}/p.jsonl')
    metric.process({}, random_samples(2))
    try:
        metric.evaluate(4)
    except FileNotFoundError as error:
        found['lost'] = str(error)
    with open(f'{folder}/scores{rank}.json', 'w') as file:
        json.dump(found, file)
    torch.distributed.destroy_process_group()


def _options(name):
    return dict(generalized=True, min_area=5) if name == 'generalized' else {}


@pytest.mark.slow
@pytest.mark.parametrize('world_size', [2, 3])
def test_processes_together_equal_one(tmp_path, world_size):
    pytest.importorskip('pycocotools')
    # as scripts: a spawned process would import this module as tests.evaluation..., and mmsegmentation installs a
    # package of its own named tests
    processes = [subprocess.Popen([sys.executable, __file__, str(rank), str(world_size), str(tmp_path)])
                 for rank in range(world_size)]
    assert [process.wait(timeout=300) for process in processes] == [0] * world_size
    found = [json.loads((tmp_path / f'scores{rank}.json').read_text()) for rank in range(world_size)]
    ids = {case: scores.pop('ids') for case, scores in found[0].items() if isinstance(scores, dict)}
    assert len(ids) == 2 * len(CASES)
    for case in ids:
        name, size, _ = case.split()
        expected = evaluate(random_samples(int(size), seed=int(size)), **_options(name))
        for scores in found:
            assert scores[case] == pytest.approx(expected, abs=1e-9, nan_ok=True), case
        assert ids[case] == list(range(int(size))), case
    # bit for bit the same on every process
    assert all(json.dumps(scores) == json.dumps(found[0]) for scores in found[1:])
    assert 'dataset has 12' in found[0]['error'] and 'part1' in found[0]['lost']
    assert not list(tmp_path.glob(f'{world_size}.jsonl.*'))


@pytest.mark.parametrize('processed, size, expected', [
    ([5], 5, (5,)), ([3, 3], 5, (3, 2)), ([3, 2], 5, (3, 2)), ([1, 1, 1], 1, (1, 0, 0)),
    ([2, 2, 2, 2], 5, (2, 1, 1, 1)),
    ([4, 1], 5, (4, 1)),  # any distribution without padding
])
def test_kept_samples(processed, size, expected):
    assert kept_samples(processed, size) == expected


@pytest.mark.parametrize('processed, size', [([4], 5), ([6], 5), ([3, 4], 5), ([2, 2], 5), ([4, 4], 5), ([3], 0)])
def test_counts_that_padding_does_not_explain(processed, size):
    with pytest.raises(ValueError, match=f'dataset has {size}'):
        kept_samples(processed, size)


# ---------------------------------------------------------------- generalized, interface, errors
def test_generalized_by_hand():
    def sample(target, prediction):
        return data_sample(np.array([target]), prediction=np.array([prediction]))
    samples = [
        sample([0, 0, 0, 0], [0, 0, 0, 0]),  # no target, recognised: IoU 1, adds nothing to I and U
        sample([0, 0, 0, 0], [1, 1, 0, 0]),  # no target, missed: IoU 0, U + 2
        sample([0, 0, 0, 0], [0, 0, 0, 1]),  # the same with one pixel: U + 1
        sample([1, 1, 0, 0], [1, 1, 1, 0]),  # 2 / 3
        sample([1, 1, 1, 1], [0, 0, 0, 0]),  # target missed: 0 / 4
    ]
    scores = evaluate(samples, generalized=True)
    assert scores == pytest.approx({
        'mIoU': 100 * (1 + 2 / 3) / 5, 'oIoU': 20.0,
        'Pr@0.5': 50.0, 'Pr@0.6': 50.0, 'Pr@0.7': 0.0, 'Pr@0.8': 0.0, 'Pr@0.9': 0.0,
        'gIoU': 100 * (1 + 2 / 3) / 5, 'cIoU': 100 * 2 / (2 + 1 + 3 + 4), 'N-acc': 100 / 3, 'T-acc': 50.0})
    scores = evaluate(samples, generalized=True, min_area=2)  # the prediction of one pixel is taken back
    assert scores['gIoU'] == pytest.approx(100 * (2 + 2 / 3) / 5)
    assert scores['cIoU'] == pytest.approx(100 * 2 / 9) and scores['N-acc'] == pytest.approx(200 / 3)


def test_built_by_name_with_prefix_and_reset():
    metric = METRICS.build(dict(type='RISMetric', protocol='ours', prefix='val'))
    for seed in (1, 2):
        samples = random_samples(4, seed)
        metric.process({}, samples)  # data samples themselves work too
        scores = metric.evaluate(4)
        assert scores == pytest.approx({f'val/{k}': v for k, v in naive_scores(samples).items()}, abs=1e-9)
    assert not metric.results


def test_state_does_not_grow():
    metric = RISMetric()
    metric.process({}, random_samples(50))
    assert not metric.results and len(metric._sums.hits) == 5 and metric._sums.expressions == 49


def test_an_error_in_evaluate_starts_anew():
    metric = RISMetric()
    metric.process({}, random_samples(3))
    with pytest.raises(ValueError, match=r'processed \[3\].*dataset has 4'):
        metric.evaluate(4)
    metric.process({}, random_samples(4))
    assert metric.evaluate(4) == pytest.approx(naive_scores(random_samples(4)), abs=1e-9)


def test_table_names_protocol_and_counts(monkeypatch):
    from mmseg_ris_kd.evaluation import ris_metric
    lines = []
    monkeypatch.setattr(ris_metric, 'print_log', lambda text, logger: lines.append(text))
    empty = np.zeros((2, 2), np.uint8)
    evaluate([data_sample(empty, prediction=empty), data_sample(1 - empty, prediction=1 - empty)], thresholds=[0.5])
    assert 'protocol "ours, thresholds=(0.5,)", 2 expressions, 1 with both masks empty' in lines[0]
    assert '| 100.00 | 100.00 | 100.00 |' in lines[0]


def test_errors_name_the_sample():
    good = np.ones((2, 3), np.uint8)
    where = dict(img_path='a.jpg', ref_id=3, sent_id=7)
    for sample, words in (
            (data_sample(good, prediction=np.ones((3, 2), np.uint8), **where), r'same shape.*\(3, 2\).*\(2, 3\)'),
            (data_sample(good * 255, prediction=good, **where), '`target`.*255'),
            (data_sample(good, **where), 'pred_sem_seg'),
    ):
        with pytest.raises(ValueError, match=r"img_path='a\.jpg' ref_id=3 sent_id=7.*" + words):
            RISMetric().process({}, [sample])
    no_target = data_sample(good, prediction=good, **where)
    del no_target.gt_sem_seg
    with pytest.raises(ValueError, match='sent_id=7.*gt_sem_seg.*LoadReferringMask'):
        RISMetric().process({}, [no_target])
    with pytest.raises(ValueError, match='keep_input_logits=True'):
        RISMetric('lavt').process({}, [data_sample(good, prediction=good, logits=np.ones((2, 2, 3)), **where)])


def test_no_samples():
    with pytest.raises(ValueError, match='no samples'):
        RISMetric().evaluate(0)


@pytest.mark.parametrize('options, words', [
    (dict(protocol='lvt'), 'protocol.*lvt'), (dict(min_area=50), 'generalized'), (dict(min_area=0), 'min_area'),
    (dict(collect_device='tpu'), 'collect_device.*tpu'), (dict(resolution='input'), 'mask_rule'),
])
def test_bad_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        RISMetric(**options)


def test_misspelt_argument():
    with pytest.raises(TypeError, match='treshold'):
        METRICS.build(dict(type='RISMetric', treshold=0.5))


def test_out_file_is_replaced_by_the_next_evaluation(tmp_path):
    pytest.importorskip('pycocotools')
    metric = RISMetric(out_file=str(tmp_path / 'p.jsonl'))
    for size in (3, 2):
        samples = random_samples(size, seed=size)
        metric.process({}, samples)
        metric.evaluate(size)
        records = list(read_predictions(tmp_path / 'p.jsonl'))
        assert [r['expression'] for r in records] == [f'thing {i}' for i in range(size)]
        for record, sample in zip(records, samples):
            assert np.array_equal(record['mask'], sample.pred_sem_seg.data[0])
            counts = intersection_and_union(sample.pred_sem_seg.data[0], sample.gt_sem_seg.data[0])
            assert (record['intersection'], record['union']) == tuple(int(x) for x in counts)
            assert record['iou'] == iou(*counts).item()


if __name__ == '__main__':
    _process(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
