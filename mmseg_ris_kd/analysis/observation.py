"""The trained models of a distillation, made ready to be looked at side by side."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..engine.checkpoint import best_checkpoint, load_checkpoint_strictly
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
        input_size: (height, width) in pixels that its inputs are resized to; None: as the pipeline made them.
    """
    name: str
    segmentor: ReferringSegmentor
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
        ValueError: The config is no distillation, or the checkpoint belongs to another model.
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
        ValueError: The checkpoint belongs to another model.
        FileNotFoundError: There is no such checkpoint.
    """
    path = best_checkpoint(checkpoint)
    segmentor = MODELS.build(inference_model(model))
    load_checkpoint_strictly(segmentor, path)
    return ObservedModel(ALONE, segmentor.to(device).eval())


def models_of(distiller: ReferringDistiller) -> tuple[ObservedModel, ObservedModel]:
    """Return the teacher and the distilled student; see ``ReferringDistiller.teacher`` for the errors."""
    teacher = ObservedModel(TEACHER, distiller.teacher.model, distiller.data_preprocessor.teacher_size)
    return teacher, ObservedModel(DISTILLED, distiller.student)
