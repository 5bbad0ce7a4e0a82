"""Segment what expressions refer to in an image, with a model found by the name of its config."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS, TRANSFORMS
from PIL import Image

from ..engine.checkpoint import load_checkpoint_strictly
from ..expressions import check_expressions
from ..models.pretrained import inference_model
from ..visualization import Panel, draw_sheet
from .cli import quiet_known_warnings
from .config import load_config


@dataclass(repr=False)
class ReferringPrediction:
    """The answer to one expression.

    Args:
        expression: The expression.
        mask: Boolean array with shape (H, W), the size of the image.
        probability: Foreground probability of every pixel, float32 array with shape (H, W).
    """
    expression: str
    mask: np.ndarray
    probability: np.ndarray

    def __repr__(self) -> str:
        height, width = self.mask.shape
        share = 100 * self.mask.mean()
        return f'ReferringPrediction({self.expression!r}, mask {height} x {width}, {share:.1f} % inside)'


class ReferringInferencer:
    """Segment what expressions refer to.

    Args:
        model: Path of a config, or the name of one that this package carries, such as ``'r18_bert-mini_refcoco'``.
        weights: Checkpoint of that model, a file or a URL.
        device: Device of the model, such as ``'cuda:0'``. None: a GPU if there is one.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: The checkpoint belongs to another model.

    Example::

        inferencer = ReferringInferencer('r18_bert-mini_refcoco', 'work_dirs/r18_bert-mini_refcoco/epoch_40.pth')
        prediction, = inferencer('street.jpg', 'the man in the red shirt')
        prediction.mask  # (H, W), bool
    """

    def __init__(self, model: str, weights: str, *, device: str | None = None):
        quiet_known_warnings()
        self.config = load_config(model)
        init_default_scope(self.config.get('default_scope', 'mmseg'))
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = MODELS.build(inference_model(self.config.model))
        load_checkpoint_strictly(self.model, weights)
        self.model.to(self.device).eval()
        skipped = ('LoadReferringImage', 'LoadReferringMask')
        self.pipeline = Compose([
            TRANSFORMS.build(step) for step in self.config.test_dataloader.dataset.pipeline
            if step['type'] not in skipped
        ])

    @torch.no_grad()
    def __call__(self,
                 image: str | Path | np.ndarray,
                 expressions: str | Sequence[str],
                 *,
                 batch_size: int = 16) -> list[ReferringPrediction]:
        """Segment one image for one or more expressions; the image is encoded once a batch where the model allows it.

        Args:
            image: Path of an image, or an RGB array with shape (H, W, 3), uint8.
            expressions: One expression or several.
            batch_size: Expressions that go through the network together; fewer need less memory.

        Returns:
            One prediction per expression.

        Raises:
            FileNotFoundError: There is no such image.
            ValueError: The image cannot be read, has another layout, or an expression is empty.
        """
        rgb = read_image(image)
        expressions = [expressions] if isinstance(expressions, str) else list(expressions)
        check_expressions(expressions)
        predictions = []
        for start in range(0, len(expressions), batch_size):
            chunk = expressions[start:start + batch_size]
            batch = pseudo_collate([self.pipeline(self._record(image, rgb, expression)) for expression in chunk])
            for expression, sample in zip(chunk, self.model.test_step(batch)):
                predictions.append(
                    ReferringPrediction(expression, sample.pred_sem_seg.data[0].bool().cpu().numpy(),
                                        _foreground(sample.seg_logits.data).cpu().numpy()))
        return predictions

    def show(self, image: str | Path | np.ndarray, predictions: Sequence[ReferringPrediction], out_file: str) -> None:
        """Draw predictions of one image as a picture sheet, one panel per expression."""
        rgb = read_image(image)
        panels = [Panel(rgb, prediction.expression, prediction=prediction.mask) for prediction in predictions]
        draw_sheet(panels, columns=min(len(panels), 4)).save(out_file)

    @staticmethod
    def _record(image: str | Path | np.ndarray, rgb: np.ndarray, expression: str) -> dict:
        path = 'array' if isinstance(image, np.ndarray) else str(image)
        return dict(
            img=np.ascontiguousarray(rgb[..., ::-1]),  # images travel as BGR in OpenMMLab
            img_path=path,
            img_shape=rgb.shape[:2],
            ori_shape=rgb.shape[:2],
            sentences=[dict(sent_id=-1, text=expression)],
            seg_fields=[])


def read_image(image: str | Path | np.ndarray) -> np.ndarray:
    """Return an RGB array with shape (H, W, 3), uint8; see ``ReferringInferencer.__call__`` for the errors."""
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'an image array must be RGB with shape (H, W, 3) and dtype uint8, but got shape '
                             f'{image.shape} and dtype {image.dtype}')
        return image
    if not Path(image).is_file():
        raise FileNotFoundError(f'no image {str(image)!r}')
    try:
        with Image.open(image) as opened:
            return np.array(opened.convert('RGB'))
    except (OSError, SyntaxError) as error:
        raise ValueError(f'{image} cannot be read as an image: {error}') from error


def _foreground(logits: torch.Tensor) -> torch.Tensor:
    """Foreground probability (H, W) of logits with shape (1 or 2, H, W)."""
    return logits[0].sigmoid() if logits.shape[0] == 1 else logits.softmax(dim=0)[1]
