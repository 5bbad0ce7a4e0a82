"""See what a distillation changed: masks and pixel-word attention, channel relations, agreement with the teacher.

Writes to the output folder
  agreement.png    how often a student is right (IoU >= 0.5) where the teacher is wrong, and the reverse; and, over the
                   expressions that the teacher gets wrong, the mean IoU between the masks of student and teacher: does
                   the student repeat the error? Also printed, and in agreement.json.
  attention_*.png  one sheet per sample, of those that --show names: a row per model with its predicted mask and a heat
                   map per word. Attention is summed over the tokens of a word, so that models with different tokenizers
                   stand side by side; what is left at each pixel goes to the special tokens ([CLS], [SEP]). Sheets of
                   an earlier run are removed.
  relation.png     the cosines between channels, mean over samples at random, in one order. A student's channels must
                   be mapped to the teacher's. The student alone has no adapter: a 1x1 map is fitted by least squares,
                   for each sample to the samples of other images. The distilled student is shown through such a
                   map too, which is the fair comparison, and through the adapter that the distillation trained (as it
                   is where teacher and student have equal channels). L_ch is the ChannelRelationLoss to the teacher.
                   Below, eigenvalue spectra, which need no map.
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine import Config, ProgressBar
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from PIL import Image
from torch.utils.data import Dataset, Subset

import mmseg_ris_kd  # noqa: F401  registers the components
from mmseg_ris_kd.analysis.agreement import (
    agreement_report,
    agreement_table,
    groups_of,
    prediction_iou,
    sample_iou,
)
from mmseg_ris_kd.analysis.observation import (
    ALONE,
    DISTILLED,
    TEACHER,
    ObservedModel,
    load_distillation,
    load_student_alone,
    models_of,
)
from mmseg_ris_kd.analysis.relation import (
    channel_order,
    compare_relations,
    find_channel_relation,
    mean_relation,
    relation_spectrum,
    stage_feature,
)
from mmseg_ris_kd.analysis.word_attention import word_attention, words_of
from mmseg_ris_kd.apis import best_checkpoint, cli, load_config, student_options
from mmseg_ris_kd.engine.files import written_whole
from mmseg_ris_kd.models.losses.channel_relation import ChannelRelationLoss
from mmseg_ris_kd.models.losses.pixel_word_correlation import PixelWordCorrelationLoss
from mmseg_ris_kd.structures import RISFeatures
from mmseg_ris_kd.visualization.agreement_figure import draw_agreement_figure
from mmseg_ris_kd.visualization.attention_sheet import AttentionRow, draw_attention_sheet
from mmseg_ris_kd.visualization.overlay import scale_image
from mmseg_ris_kd.visualization.relation_figure import RelationPanel, draw_relation_figure

THRESHOLD = 0.5


class Choice(NamedTuple):
    """What ``--show`` offers: a group of ``Agreement`` between a student and the teacher."""
    student: str
    group: str
    meaning: str


CHOICES = {
    'student-only': Choice(DISTILLED, 'student_only', f'{DISTILLED} right (IoU >= {THRESHOLD:g}), {TEACHER} wrong'),
    'teacher-only': Choice(DISTILLED, 'teacher_only', f'{TEACHER} right (IoU >= {THRESHOLD:g}), {DISTILLED} wrong'),
    'alone-only': Choice(ALONE, 'student_only', f'{ALONE} right (IoU >= {THRESHOLD:g}), {TEACHER} wrong'),
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``argv`` defaults to that of the process."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog='example:\n  python tools/analysis_tools/show_distillation.py cmkd_swinb_to_r18_refcoco \\\n'
               '      work_dirs/cmkd_swinb_to_r18_refcoco --student-checkpoint work_dirs/r18_bert-mini_refcoco')
    cli.add_config_arguments(parser, example='model.teacher_ckpt=teacher.pth test_dataloader.batch_size=16')
    cli.add_data_root_argument(parser)
    parser.add_argument('checkpoint', help='checkpoint of the distillation, or its work dir: the best one')
    parser.add_argument('--student-checkpoint', help='checkpoint or work dir of the student trained alone')
    parser.add_argument('--student-config', help='its config (default: the student of CONFIG)')
    parser.add_argument('--split', default='val', help='split to look at (default: %(default)s)')
    parser.add_argument('--number', type=int, default=8,
                        help='samples to show, and samples of the relation, drawn at random (default: %(default)s)')
    parser.add_argument('--show', choices=['random', *CHOICES], default='random',
                        help='samples to show: any (default), or of those that agreement is counted on those that '
                             'the distilled student gets right and the teacher does not, the reverse, or those that '
                             'the student alone gets right and the teacher does not')
    parser.add_argument('--number-for-agreement', type=int, default=0, metavar='N',
                        help='samples to count agreement on, drawn at random; 0: the whole split (default)')
    parser.add_argument('--stage', type=int, default=1,
                        help='stage of attention and channels, 0 is the shallowest (default: %(default)s, stride 8)')
    parser.add_argument('--output-dir', type=Path,
                        help='folder of the pictures (default: work_dirs/show/<config name>)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the choice of samples (default: %(default)s)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu',
                        help='device of the models (default: a GPU if there is one)')
    args = parser.parse_args(argv)
    if args.number < 2:
        parser.error(f'--number must be at least 2, got {args.number}: the channels of each sample are mapped by what '
                     'was fitted to the others')
    if args.number_for_agreement < 0:
        parser.error(f'--number-for-agreement must be 0 (all) or more, got {args.number_for_agreement}')
    if args.stage < 0:
        parser.error(f'--stage must be 0 (the shallowest) or more, got {args.stage}')
    if args.show == 'alone-only' and not args.student_checkpoint:
        parser.error('--show alone-only needs --student-checkpoint, the weights of the student alone')
    if args.student_config and not args.student_checkpoint:
        parser.error('--student-config needs --student-checkpoint, the weights of the student alone')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Load the models, then write agreement, sheets and relation."""
    args = parse_args(argv)
    cli.quiet_known_warnings()
    config = load_config(args.config, args.cfg_options)
    cli.set_data_root(config, args.data_root)
    init_default_scope('mmseg')
    checkpoint = best_checkpoint(args.checkpoint)
    distiller = load_distillation(config, checkpoint, device=args.device)
    models = [*models_of(distiller, checkpoint)]
    if args.student_checkpoint:
        model = load_config(args.student_config, student_options(args.cfg_options)).model if args.student_config \
            else config.model
        models.insert(1, load_student_alone(model, args.student_checkpoint, device=args.device))
    dataset = build_dataset(config, args.split)
    check_stage(models, dataset, args.stage)
    args.output_dir = args.output_dir or Path('work_dirs/show', Path(config.filename).stem)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    outcomes = count_agreement(models, config, dataset, args)
    show_agreement(outcomes, models, args)
    show_samples(models, dataset, choose_shown(len(dataset), outcomes, args), args)
    relation = find_channel_relation(distiller.distill_losses, args.stage)
    measure = relation or ChannelRelationLoss(stages=(args.stage,))
    show_relation(models, dataset, measure, DISTILLED if relation else None, args)
    print(f'written to {args.output_dir}')


def build_dataset(config: Config, split: str) -> Dataset:
    """Build the dataset of ``test_dataloader`` for a split.

    Raises:
        KeyError: The config has no ``test_dataloader``.
        ValueError: The dataset joins others and has no single split.
    """
    if not config.get('test_dataloader'):
        raise KeyError(f'{config.filename} has no test_dataloader: there is nothing to look at')
    dataset = config.test_dataloader.dataset
    if 'split' not in dataset:
        raise ValueError(f'--split {split}: test_dataloader.dataset of {config.filename} is a {dataset.type}, which '
                         'has no split: name one of the datasets that it joins')
    return DATASETS.build(dict(dataset, split=split))


def choose(length: int, number: int, seed: int) -> list[int]:
    """Indices of ``number`` samples at random, in order; 0: of all. Samples of one image stay neighbours."""
    if number == 0 or number >= length:
        return list(range(length))
    return sorted(np.random.default_rng(seed).permutation(length)[:number].tolist())


class Outcomes(NamedTuple):
    """What the models made of N expressions.

    Args:
        indices: Their places in the dataset.
        ious: By model, the IoUs of its masks with the targets, with shape (N,).
        overlaps: By model, the IoUs of its masks with the teacher's, with shape (N,).
    """
    indices: list[int]
    ious: dict[str, torch.Tensor]
    overlaps: dict[str, torch.Tensor]


def check_stage(models: Sequence[ObservedModel], dataset: Dataset, stage: int) -> None:
    """Raise a ``ValueError`` if a model has no attention of this stage, before anything is counted."""
    batch = pseudo_collate([dataset[0]])
    for model in models:
        word_attention(model.extract(batch), stage, 1, owner=model.name)


def count_agreement(models: Sequence[ObservedModel], config: Config, dataset: Dataset,
                    args: argparse.Namespace) -> Outcomes:
    """Predict the split, or a part of it at random, with every model, the teacher first."""
    indices = choose(len(dataset), args.number_for_agreement, args.seed)
    print(f'agreement on {len(indices)} of {len(dataset)} expressions of {args.split}')
    loader = Runner.build_dataloader(
        dict(config.test_dataloader, dataset=Subset(dataset, indices),
             sampler=dict(type='DefaultSampler', shuffle=False)), seed=args.seed)
    ious: dict[str, list[float]] = {model.name: [] for model in models}
    overlaps: dict[str, list[float]] = {model.name: [] for model in models}
    progress = ProgressBar(len(loader))
    for batch in loader:
        predictions = {model.name: model.predict(batch) for model in models}
        for name, samples in predictions.items():
            ious[name] += map(sample_iou, samples)
            overlaps[name] += map(prediction_iou, samples, predictions[TEACHER])
        progress.update()
    print()
    return Outcomes(indices, *({name: torch.tensor(values, dtype=torch.float64) for name, values in found.items()}
                               for found in (ious, overlaps)))


def show_agreement(outcomes: Outcomes, models: Sequence[ObservedModel], args: argparse.Namespace) -> None:
    """Print who is right how often, draw it, and write it to ``agreement.json``."""
    report = agreement_report(outcomes.ious, outcomes.overlaps, teacher=TEACHER, threshold=THRESHOLD)
    print(agreement_table(report))
    students = {name: entry for name, entry in report.items() if name != TEACHER}
    with written_whole(args.output_dir / 'agreement.png') as part:
        draw_agreement_figure(
            {name: (entry['shares']['student_only'], entry['shares']['teacher_only'])
             for name, entry in students.items()},
            part,
            repeated={name: entry['iou_with_wrong_teacher'] for name, entry in students.items()},
            title=f'Independence from the teacher: {len(outcomes.indices)} expressions of {args.split}, right is '
                  f'IoU \u2265 {THRESHOLD:g}')
    entries = {model.name: dict(checkpoint=model.checkpoint, **report[model.name]) for model in models}
    content = dict(config=args.config, split=args.split, expressions=len(outcomes.indices), seed=args.seed,
                   threshold=THRESHOLD, models=entries)
    with written_whole(args.output_dir / 'agreement.json') as part:
        part.write_text(json.dumps(content, indent=1) + '\n')


def choose_shown(length: int, outcomes: Outcomes, args: argparse.Namespace) -> list[int]:
    """Indices of the samples that ``--show`` asks for, at most ``--number``; ``length`` is that of the dataset."""
    if args.show not in CHOICES:
        return choose(length, args.number, args.seed)
    wanted = CHOICES[args.show]
    groups = groups_of(outcomes.ious[wanted.student], outcomes.ious[TEACHER], threshold=THRESHOLD)
    inside = groups[wanted.group].tolist()
    found = [index for index, chosen in zip(outcomes.indices, inside) if chosen]
    shown = f'{args.number} are shown' if len(found) > args.number else 'all are shown' if found else 'nothing to show'
    print(f'--show {args.show}: {wanted.meaning}: {len(found)} of {len(inside)} expressions, {shown}')
    return [found[i] for i in choose(len(found), args.number, args.seed)]


def show_samples(models: Sequence[ObservedModel], dataset: Dataset, indices: Sequence[int],
                 args: argparse.Namespace) -> None:
    """Write one sheet per sample, in place of those of an earlier run."""
    for sheet in args.output_dir.glob('attention_[0-9]*.png'):
        sheet.unlink()
    if not indices:
        return
    print(f'sheets of {len(indices)} samples')
    progress = ProgressBar(len(indices))
    for number, index in enumerate(indices):
        batch = pseudo_collate([dataset[index]])
        records = {model.name: model.extract(batch) for model in models}
        predictions = {model.name: model.predict(batch)[0] for model in models}
        sheet = draw_sample(batch['inputs'][0], predictions, records, args)
        with written_whole(args.output_dir / f'attention_{number + 1:02d}.png') as part:
            sheet.save(part, format='PNG')
        progress.update()
    print()


def draw_sample(image: torch.Tensor, predictions: dict[str, SegDataSample], records: dict[str, RISFeatures],
                args: argparse.Namespace) -> Image.Image:
    """Draw the sheet of one sample.

    Args:
        image: BGR image as the pipeline packed it, uint8, (3, H', W'); shown at the size of the target.
        predictions: The sample with its prediction by model, the teacher first.
        records: What each model computed for it, batches of one.
        args: The command line.
    """
    first = predictions[TEACHER]
    words = words_of(first.expression)
    distance = PixelWordCorrelationLoss(stages=(args.stage,), high_order=0.)
    rows = []
    for name, sample in predictions.items():
        maps, read = word_attention(records[name], args.stage, len(words), owner=name)
        maps = [word.cpu().numpy() if present else None for word, present in zip(maps[0], read[0])]
        remark = '' if name == TEACHER else \
            f'KL from the teacher {float(distance(records[name], records[TEACHER])["loss_word_first"]):.3f}'
        mask = sample.pred_sem_seg.data[0].cpu().numpy()
        rows.append(AttentionRow(name, mask, f'IoU {100 * sample_iou(sample):.1f}', maps[:-1], maps[-1], remark))
    target = first.gt_sem_seg.data[0].cpu().numpy()
    rgb = np.ascontiguousarray(image.numpy()[::-1].transpose(1, 2, 0))
    chosen = f'Chosen: {CHOICES[args.show].meaning}. ' if args.show in CHOICES else ''
    return draw_attention_sheet(
        scale_image(rgb, target.shape[::-1]), first.expression, words, rows, target=target,
        subtitle=f'{chosen}Pixel-word attention of stage {args.stage}; one colour scale per row; at each pixel the '
                 'attention to all words and special tokens sums to 100 %.')


def show_relation(models: Sequence[ObservedModel], dataset: Dataset, measure: ChannelRelationLoss, adapted: str | None,
                  args: argparse.Namespace) -> None:
    """Draw the channel relations of samples at random and print their distances.

    Args:
        models: The models, the teacher first.
        dataset: The split.
        measure: The distillation's channel relation with its adapters, or one to measure with.
        adapted: The model that was trained with it; None: the distillation has no channel relation of this stage.
        args: The command line.
    """
    images = []
    pooled: dict[str, list[torch.Tensor]] = {model.name: [] for model in models}
    for index in choose(len(dataset), args.number, args.seed):
        batch = pseudo_collate([dataset[index]])
        images.append(batch['data_samples'][0].img_path)
        for model in models:
            pooled[model.name].append(stage_feature(model.extract(batch), measure, args.stage, owner=model.name))
    features = {name: torch.cat(samples) for name, samples in pooled.items()}
    relations = compare_relations(features, measure, args.stage, images=images, teacher=TEACHER, adapted=adapted)
    order = channel_order(relations[0].relation)
    panels = []
    for relation in relations:
        title = '\n'.join([relation.name, relation.how, f'L_ch {relation.distance:.4f}'] if relation.how else
                          [relation.name])
        panels.append(RelationPanel(title, relation.relation.cpu().numpy()[np.ix_(order, order)]))
    spectra = {name: relation_spectrum(mean_relation(feature, centered=measure.centered))
               for name, feature in features.items()}
    with written_whole(args.output_dir / 'relation.png') as part:
        draw_relation_figure(panels, spectra, part, note=relation_note(measure, adapted, args),
                             title=f'Channel relations of stage {args.stage}, mean over {len(images)} random samples '
                                   f'of {args.split}')
    for panel in panels[1:]:
        print(panel.title.replace('\n', ', '))


def relation_note(measure: ChannelRelationLoss, adapted: str | None, args: argparse.Namespace) -> str:
    """What the reader of the figure must know."""
    adapter = 'Trained adapter: that of the distillation.' if adapted else \
        f'This distillation compares no channel relation of stage {args.stage}: there is no adapter to show.'
    return (f'L_ch: ChannelRelationLoss to the teacher, mean over the samples (tau {measure.tau:g}, '
            f'{"" if measure.guided else "not "}guided, {"" if measure.centered else "not "}centered, '
            f'{measure.feature} features). Least-squares map: 1x1 with bias, '
            'for each sample fitted to the samples of other images; the student alone has no adapter, so compare '
            'the students through this map. It keeps of a student what predicts the teacher, so that channels '
            f'look more alike than they are. {adapter}')


if __name__ == '__main__':
    cli.run(main)
