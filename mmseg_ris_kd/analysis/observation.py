"""The trained models of a distillation, made ready to be looked at side by side."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..engine.checkpoint import (
    best_checkpoint,
    check_state_dict,
    load_checkpoint_strictly,
    read_checkpoint,
    weights_for,
)
from ..models.distillers import ReferringDistiller
from ..models.distillers.preprocessor import resize_inputs
from ..models.pretrained import inference_model
from ..models.segmentors.referring_segmentor import ReferringSegmentor, expressions_of
from ..structures import RISFeatures

TEACHER, ALONE, DISTILLED = 'teacher', 'student alone', 'distilled student'


@dataclass
class ObservedModel:
    """A trained segmentor that is only looked at.

    Args:
        name: What it is called in tables and figures.
        segmentor: The model, in evaluation mode.
        checkpoint: Where its weights are from; None: they are random.
        input_size: (height, width) in pixels that its inputs are resized to; None: as the pipeline made them.
    """
    name: str
    segmentor: ReferringSegmentor
    checkpoint: str | None = None
    input_size: tuple[int, int] | None = None

    @torch.no_grad()
    def extract(self, batch: dict) -> RISFeatures:
        """Return everything the model computes for a batch of ``inputs`` and ``data_samples`` from a data loader."""
        inputs, samples = self._prepare(batch)
        return self.segmentor.extract(inputs, expressions_of(samples))

    @torch.no_grad()
    def predict(self, batch: dict) -> list[SegDataSample]:
        """Return the samples of a batch with ``pred_sem_seg`` at the original size; the batch stays as it is."""
        return self.segmentor.predict(*self._prepare(batch))

    def _prepare(self, batch: dict) -> tuple[Tensor, list[SegDataSample]]:
        data = self.segmentor.data_preprocessor(batch, False)
        return resize_inputs(data['inputs'], self.input_size), data['data_samples']


def check_distillation(config: Config) -> None:
    """Raise a ``ValueError`` if a config is no distillation."""
    if config.model.get('type') != 'ReferringDistiller':
        raise ValueError(f'{config.filename} is no distillation (model.type={config.model.get("type")!r}, not '
                         '\'ReferringDistiller\'): give the config that a student is distilled with')


def load_distillation(config: Config, checkpoint: str, *, device: str = 'cpu') -> ReferringDistiller:
    """Build a distillation in evaluation mode, its student and adapters from a checkpoint.

    Args:
        config: Config of the distillation.
        checkpoint: Its checkpoint, or its work dir: the best one.
        device: Device of student, adapters and teacher.

    Raises:
        ValueError: The config is no distillation, or the checkpoint is that of a student alone or of another model.
        FileNotFoundError: There is no such checkpoint.
    """
    check_distillation(config)
    path = best_checkpoint(checkpoint)
    # a copy for its weights only: no pretrained weights are looked for
    distiller = MODELS.build(dict(config.model, student=inference_model(config.model)))
    load_checkpoint_strictly(distiller, path)
    return distiller.to(device).eval()


def load_student_alone(model: dict, checkpoint: str, *, device: str = 'cpu') -> ObservedModel:
    """Load the student that was trained without a teacher.

    Args:
        model: Its model config, or that of the distillation: its student.
        checkpoint: Its checkpoint, or its work dir: the best one.
        device: Device of the model.

    Raises:
        ValueError: The checkpoint is that of a distillation or of another model.
        FileNotFoundError: There is no such checkpoint.
    """
    path = best_checkpoint(checkpoint)
    weights = read_checkpoint(path)
    if _is_distillation(weights):  # of which the loader would take the student
        raise ValueError(f'--student-checkpoint: {path} is a checkpoint of a distillation: give that of the student '
                         'trained alone, with its own config and no teacher')
    segmentor = MODELS.build(inference_model(model))
    check_state_dict(segmentor, weights, path)
    segmentor.load_state_dict(weights_for(segmentor, weights))
    return ObservedModel(ALONE, segmentor.to(device).eval(), path)


def models_of(distiller: ReferringDistiller, checkpoint: str) -> tuple[ObservedModel, ObservedModel]:
    """Return the teacher and the distilled student.

    Args:
        distiller: From ``load_distillation``; see its ``teacher`` for the errors.
        checkpoint: The checkpoint that it was loaded from.
    """
    teacher = ObservedModel(TEACHER, distiller.teacher.model, input_size=distiller.data_preprocessor.teacher_size)
    if distiller.teacher_ckpt:
        teacher.checkpoint = best_checkpoint(distiller.teacher_ckpt)
    return teacher, ObservedModel(DISTILLED, distiller.student, checkpoint)


def _is_distillation(checkpoint: dict) -> bool:
    weights = checkpoint.get('state_dict', checkpoint)
    return any(key.removeprefix('module.').startswith('student.') for key in weights)
