"""See what a distillation changed: masks and pixel-word attention, channel relations, agreement with the teacher.

Writes to the output folder
  attention_*.png  one sheet per sample: a row per model with its predicted mask and a heat map per word. Attention is
                   summed over the tokens of a word, so that models with different tokenizers stand side by side; what
                   is left at each pixel goes to the special tokens ([CLS], [SEP]).
  relation.png     the cosines between channels, mean over the shown samples, in one order. A student's channels must
                   be mapped to the teacher's. The student alone has no adapter: a 1x1 map is fitted by least squares,
                   for each sample to the shown samples of other images. The distilled student is shown through such a
                   map too, which is the fair comparison, and through the adapter that the distillation trained (as it
                   is where teacher and student have equal channels). L_ch is the ChannelRelationLoss to the teacher.
                   Below, eigenvalue spectra, which need no map.
  agreement.png    how often a student is right (IoU >= 0.5) where the teacher is wrong, and the reverse; also printed.
"""
from __future__ import annotations

import argparse
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
from mmseg_ris_kd.analysis.agreement import agreement, agreement_table, sample_iou
from mmseg_ris_kd.analysis.observation import (
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
from mmseg_ris_kd.apis import cli, load_config, student_options
from mmseg_ris_kd.models.losses.channel_relation import ChannelRelationLoss
from mmseg_ris_kd.models.losses.pixel_word_correlation import PixelWordCorrelationLoss
from mmseg_ris_kd.structures import RISFeatures
from mmseg_ris_kd.visualization.agreement_figure import draw_agreement_figure
from mmseg_ris_kd.visualization.attention_sheet import AttentionRow, draw_attention_sheet
from mmseg_ris_kd.visualization.overlay import scale_image
from mmseg_ris_kd.visualization.relation_figure import RelationPanel, draw_relation_figure

THRESHOLD = 0.5


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
    parser.add_argument('--number', type=int, default=8, help='samples to show, drawn at random (default: %(default)s)')
    parser.add_argument('--number-for-agreement', type=int, default=0, metavar='N',
                        help='samples to count agreement on, drawn at random; 0: the whole split (default)')
    parser.add_argument('--stage', type=int, default=1,
                        help='stage of attention and channels, 0 is the shallowest (default: %(default)s, stride 8)')
    parser.add_argument('--output-dir', type=Path, default=Path('work_dirs/show'),
                        help='folder of the pictures (default: %(default)s)')
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
    if args.student_config and not args.student_checkpoint:
        parser.error('--student-config needs --student-checkpoint, the weights of the student alone')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Load the models, then write sheets, relation and agreement."""
    args = parse_args(argv)
    cli.quiet_known_warnings()
    config = load_config(args.config, args.cfg_options)
    cli.set_data_root(config, args.data_root)
    init_default_scope('mmseg')
    distiller = load_distillation(config, args.checkpoint, device=args.device)
    teacher, distilled = models_of(distiller)
    models = [teacher, distilled]
    if args.student_checkpoint:
        model = load_config(args.student_config, student_options(args.cfg_options)).model if args.student_config \
            else config.model
        models.insert(1, load_student_alone(model, args.student_checkpoint, device=args.device))
    dataset = build_dataset(config, args.split)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    relation = find_channel_relation(distiller.distill_losses, args.stage)
    measure = relation or ChannelRelationLoss(stages=(args.stage,))
    shown = show_samples(models, dataset, measure, args)
    show_relation(shown, measure, DISTILLED if relation else None, args)
    show_agreement(models, config, dataset, args)
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


class Shown(NamedTuple):
    """What is kept of the shown samples.

    Args:
        images: The image of each sample.
        features: By model, the teacher first, the pooled feature of each sample that a channel relation compares, with
            shape (1, C, h, w).
    """
    images: list[str]
    features: dict[str, list[torch.Tensor]]


def show_samples(models: Sequence[ObservedModel], dataset: Dataset, measure: ChannelRelationLoss,
                 args: argparse.Namespace) -> Shown:
    """Write one sheet per sample, drawn at random; return what ``show_relation`` needs of them."""
    indices = choose(len(dataset), args.number, args.seed)
    print(f'sheets of {len(indices)} samples')
    shown = Shown([], {model.name: [] for model in models})
    progress = ProgressBar(len(indices))
    for number, index in enumerate(indices):
        batch = pseudo_collate([dataset[index]])
        records = {model.name: model.extract(batch) for model in models}
        predictions = {model.name: model.predict(batch)[0] for model in models}
        draw_sample(batch['inputs'][0], predictions, records, args.stage).save(
            args.output_dir / f'attention_{number + 1:02d}.png')
        shown.images.append(batch['data_samples'][0].img_path)
        for name, record in records.items():
            shown.features[name].append(stage_feature(record, measure, args.stage, owner=name))
        progress.update()
    print()
    return shown


def draw_sample(image: torch.Tensor, predictions: dict[str, SegDataSample], records: dict[str, RISFeatures],
                stage: int) -> Image.Image:
    """Draw the sheet of one sample.

    Args:
        image: BGR image as the pipeline packed it, uint8, (3, H', W'); shown at the size of the target.
        predictions: The sample with its prediction by model, the teacher first.
        records: What each model computed for it, batches of one.
        stage: Stage of the attention.
    """
    first = predictions[TEACHER]
    words = words_of(first.expression)
    distance = PixelWordCorrelationLoss(stages=(stage,), high_order=0.)
    rows = []
    for name, sample in predictions.items():
        maps, read = word_attention(records[name], stage, len(words), owner=name)
        maps = [word.cpu().numpy() if present else None for word, present in zip(maps[0], read[0])]
        remark = '' if name == TEACHER else \
            f'KL from the teacher {float(distance(records[name], records[TEACHER])["loss_word_first"]):.3f}'
        mask = sample.pred_sem_seg.data[0].cpu().numpy()
        rows.append(AttentionRow(name, mask, f'IoU {100 * sample_iou(sample):.1f}', maps[:-1], maps[-1], remark))
    target = first.gt_sem_seg.data[0].cpu().numpy()
    rgb = np.ascontiguousarray(image.numpy()[::-1].transpose(1, 2, 0))
    return draw_attention_sheet(
        scale_image(rgb, target.shape[::-1]), first.expression, words, rows, target=target,
        subtitle=f'Pixel-word attention of stage {stage}; one colour scale per row; at each pixel the attention to all '
                 'words and special tokens sums to 100 %.')


def show_relation(shown: Shown, measure: ChannelRelationLoss, adapted: str | None, args: argparse.Namespace) -> None:
    """Draw the channel relations of the shown samples and print their distances.

    Args:
        shown: The samples.
        measure: The distillation's channel relation with its adapters, or one to measure with.
        adapted: The model that was trained with it; None: the distillation has no channel relation of this stage.
        args: The command line.
    """
    features = {name: torch.cat(samples) for name, samples in shown.features.items()}
    relations = compare_relations(features, measure, args.stage, images=shown.images, teacher=TEACHER, adapted=adapted)
    order = channel_order(relations[0].relation)
    panels = []
    for relation in relations:
        title = '\n'.join([relation.name, relation.how, f'L_ch {relation.distance:.4f}'] if relation.how else
                          [relation.name])
        panels.append(RelationPanel(title, relation.relation.cpu().numpy()[np.ix_(order, order)]))
    spectra = {name: relation_spectrum(mean_relation(feature, centered=measure.centered))
               for name, feature in features.items()}
    draw_relation_figure(panels, spectra, args.output_dir / 'relation.png', note=relation_note(measure, adapted, args),
                         title=f'Channel relations of stage {args.stage}, mean over {len(shown.images)} samples of '
                               f'{args.split}')
    for panel in panels[1:]:
        print(panel.title.replace('\n', ', '))


def relation_note(measure: ChannelRelationLoss, adapted: str | None, args: argparse.Namespace) -> str:
    """What the reader of the figure must know."""
    adapter = 'Trained adapter: that of the distillation.' if adapted else \
        f'This distillation compares no channel relation of stage {args.stage}: there is no adapter to show.'
    return (f'L_ch: ChannelRelationLoss to the teacher, mean over the samples (tau {measure.tau:g}, '
            f'{"" if measure.guided else "not "}guided, {"" if measure.centered else "not "}centered, '
            f'{measure.feature} features). Least-squares map: 1x1 with bias, '
            'for each sample fitted to the shown samples of other images; the student alone has no adapter, so compare '
            'the students through this map. It keeps of a student what predicts the teacher, so that channels '
            f'look more alike than they are. {adapter}')


def show_agreement(models: Sequence[ObservedModel], config: Config, dataset: Dataset,
                   args: argparse.Namespace) -> None:
    """Predict the split with every model, print who is right how often, and draw it."""
    indices = choose(len(dataset), args.number_for_agreement, args.seed)
    print(f'agreement on {len(indices)} of {len(dataset)} expressions of {args.split}')
    loader = Runner.build_dataloader(dict(config.test_dataloader, dataset=Subset(dataset, indices)), seed=args.seed)
    ious: dict[str, list[float]] = {model.name: [] for model in models}
    progress = ProgressBar(len(loader))
    for batch in loader:
        for model in models:
            ious[model.name] += [sample_iou(sample) for sample in model.predict(batch)]
        progress.update()
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in ious.items()}
    print(f'\n{agreement_table(tensors, teacher=TEACHER, threshold=THRESHOLD)}')
    counts = {name: agreement(values, tensors[TEACHER], threshold=THRESHOLD)
              for name, values in tensors.items() if name != TEACHER}
    shares = {name: (count.share('student_only'), count.share('teacher_only')) for name, count in counts.items()}
    draw_agreement_figure(shares, args.output_dir / 'agreement.png',
                          title=f'Independence from the teacher: {len(indices)} expressions of {args.split}, right is '
                                f'IoU \u2265 {THRESHOLD:g}')


if __name__ == '__main__':
    cli.run(main)
