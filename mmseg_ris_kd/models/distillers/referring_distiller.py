"""The model that trains a student segmentor with a teacher beside it."""
from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ...engine.checkpoint import best_checkpoint, load_checkpoint_strictly
from ..losses import DistillationLoss
from ..pretrained import inference_model
from ..segmentors.referring_segmentor import expressions_of
from .preprocessor import DistillationPreprocessor
from .teacher import FrozenTeacher


@MODELS.register_module()
class ReferringDistiller(BaseModel):
    """Train a student with its mask losses and any number of distillation losses against a frozen teacher.

    One pass of the teacher and one of the student give two ``RISFeatures`` records; each distillation loss is called as
    ``loss(student, teacher)`` on them. Outside training the distiller is its student: predictions, tensors and
    checkpoints of it hold nothing of the teacher, and what the losses add (adapters) is in the checkpoints to be
    resumed, but in no exported student.

    Args:
        student: Config of the student, a ``ReferringSegmentor``.
        teacher: Config of the teacher. It is built when training starts; testing never needs it.
        teacher_ckpt: Checkpoint of the teacher, or the work dir of its training: the best one. It must fit exactly.
        distill_losses: Configs of the distillation losses by a name of your choice, such as ``dict(cmkd=...)``. A loss
            set to None is left out, so that a config can drop one that it inherits.
        teacher_size: (height, width) in pixels that the teacher's inputs are resized to; None: the student's size.
        allow_random_teacher: Whether ``teacher_ckpt`` may be None: the teacher then keeps its initial weights, which
            teaches nothing and is meant for trying things out.
        init_cfg: mmengine's initialization of the distiller; a student has its own.

    Raises:
        ValueError: There is no teacher checkpoint and no leave to go without one.
        TypeError: ``distill_losses`` is no dict, or one of them is no ``DistillationLoss``.
    """

    def __init__(self,
                 student: dict,
                 teacher: dict,
                 *,
                 teacher_ckpt: str | None,
                 distill_losses: dict[str, dict | None],
                 teacher_size: tuple[int, int] | None = None,
                 allow_random_teacher: bool = False,
                 init_cfg: dict | None = None):
        if teacher_ckpt is None and not allow_random_teacher:
            raise ValueError('model.teacher_ckpt is None: give the checkpoint of the trained teacher, or set '
                             'model.allow_random_teacher=True to try things out with a random one')
        if not isinstance(distill_losses, dict):
            raise TypeError(f'model.distill_losses maps names to loss configs, such as dict(cmkd=dict(type=...)), but '
                            f'got a {type(distill_losses).__name__}')
        with _keys_of('student'):
            student_model = MODELS.build(student)
        super().__init__(
            data_preprocessor=_preprocessor(student_model, student, teacher, teacher_size), init_cfg=init_cfg)
        self.student = student_model
        with torch.random.fork_rng(devices=[]):  # the student starts from the weights that it has alone
            self.distill_losses = nn.ModuleDict(
                {name: _build_loss(name, loss) for name, loss in distill_losses.items() if loss is not None})
            for loss in self.distill_losses.values():
                loss.connect(self.student.decode_head.feature_channels, _feature_channels(teacher))
        self.teacher_config = teacher
        self.teacher_ckpt = teacher_ckpt
        self._teacher: FrozenTeacher | None = None

    def init_weights(self) -> None:
        """Initialize the student and load the teacher; see ``teacher`` for the errors."""
        with _keys_of('student'):
            super().init_weights()
        self.teacher  # noqa: B018  a missing checkpoint is reported before training starts

    @property
    def teacher(self) -> FrozenTeacher:
        """The teacher, built and loaded when it is first asked for.

        Raises:
            FileNotFoundError: ``teacher_ckpt`` does not exist.
            ValueError: ``teacher_ckpt`` is damaged or belongs to another model.
        """
        if self._teacher is None:
            try:
                with _keys_of('teacher'):
                    teacher = FrozenTeacher(self._load_teacher())
            except AttributeError as error:  # torch would say that there is no attribute 'teacher'
                raise RuntimeError(f'model.teacher cannot be built: {error}') from error
            like = next(self.student.parameters())
            teacher.apply(lambda tensor: tensor.to(like.device, like.dtype if tensor.is_floating_point() else None))
            self._teacher = teacher
        return self._teacher

    def share_teacher(self, other: ReferringDistiller) -> None:
        """Learn from the teacher of another distiller, which must have the same config, instead of loading it anew."""
        self._teacher = other.teacher

    def _load_teacher(self) -> nn.Module:
        if self.teacher_ckpt is None:
            print_log('The teacher has random weights (model.allow_random_teacher): nothing can be learnt from it',
                      logger='current', level=logging.WARNING)
            model = MODELS.build(self.teacher_config)
            model.init_weights()
            return model
        model = MODELS.build(inference_model(self.teacher_config))
        try:
            load_checkpoint_strictly(model, best_checkpoint(self.teacher_ckpt))
        except FileNotFoundError as error:
            raise FileNotFoundError(f'model.teacher_ckpt: {error}. Train the teacher first, or name its checkpoint '
                                    'with --cfg-options model.teacher_ckpt=PATH') from None
        except ValueError as error:
            raise ValueError(f'model.teacher_ckpt does not fit model.teacher. {error}') from error
        return model

    def forward(self,
                inputs: Tensor,
                data_samples: list[SegDataSample] | None = None,
                mode: str = 'tensor',
                teacher_inputs: Tensor | None = None) -> dict | list | Tensor:
        """Return losses (mode ``'loss'``), or what the student returns (``'predict'``, ``'tensor'``).

        Args:
            inputs: The student's normalized images with shape (B, 3, H, W).
            data_samples: B samples with the expression in their metainfo, in training with ``gt_sem_seg``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.
            teacher_inputs: The teacher's normalized images with shape (B, 3, H', W'); None: the student's.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples, inputs if teacher_inputs is None else teacher_inputs)
        return self.student(inputs, data_samples, mode=mode)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample], teacher_inputs: Tensor) -> dict[str, Tensor]:
        """Return the mask losses, ``decode.<name>``, and the distillation losses, ``distill.<loss>.loss_<term>``."""
        expressions = expressions_of(data_samples)
        teacher = self.teacher(teacher_inputs, expressions)
        student = self.student.extract(inputs, expressions)
        losses = self.student.mask_losses(student, data_samples)
        target = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
        student, teacher = replace(student, target=target), replace(teacher, target=target)
        for name, loss in self.distill_losses.items():
            losses.update({f'distill.{name}.{term}': value for term, value in loss(student, teacher).items()})
        return losses

    def _apply(self, fn: Callable[[Tensor], Tensor], *args) -> ReferringDistiller:
        """Let the teacher follow to other devices and types."""
        if self._teacher is not None:
            self._teacher.apply(fn)
        return super()._apply(fn, *args)


def _build_loss(name: str, config: dict) -> DistillationLoss:
    loss = MODELS.build(config)
    if not isinstance(loss, DistillationLoss):
        raise TypeError(f'model.distill_losses.{name} is a {type(loss).__name__}, which compares no two records: '
                        'derive it from DistillationLoss or FeatureLoss (docs/distillation.md)')
    return loss


@contextmanager
def _keys_of(part: str) -> Iterator[None]:
    """Let errors name the config keys of student or teacher as the distillation's config has them."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        key = re.compile(r'\bmodel\.(?=(text_encoder|backbone|neck|decode_head)\b)')
        error.args = tuple(key.sub(f'model.{part}.', arg) if isinstance(arg, str) else arg for arg in error.args)
        raise


def _feature_channels(model: dict) -> dict[str, tuple[int, ...]]:
    """Channels of what a model will hand out, told by its head, which is built without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(model['decode_head']).feature_channels


def _preprocessor(student_model: nn.Module, student: dict, teacher: dict,
                  teacher_size: tuple[int, int] | None) -> DistillationPreprocessor:
    configs = (student.get('data_preprocessor'), teacher.get('data_preprocessor'))
    other = None if configs[0] == configs[1] else MODELS.build(configs[1])
    return DistillationPreprocessor(student_model.data_preprocessor, teacher=other, teacher_size=teacher_size)
