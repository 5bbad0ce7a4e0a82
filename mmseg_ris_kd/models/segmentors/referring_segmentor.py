"""The segmentor that turns an image and an expression into a mask, whatever its encoders, fusion and head are."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures import RISFeatures, TextFeatures
from ..pretrained import explain_missing_weights, pretrained_sources, require_pretrained_weights


@MODELS.register_module()
class ReferringSegmentor(BaseSegmentor):
    """Segment the object that an expression refers to.

    Early fusion: a backbone whose class sets ``language_aware = True`` reads the image and the text features. Late
    fusion: any other backbone reads the image alone, and the decode head brings the language in; then one encoded image
    serves many expressions (``encode_image`` once, ``decode`` as often as needed).

    Args:
        text_encoder: Config of the text encoder, expressions -> ``TextFeatures``.
        backbone: Config of a backbone with a pyramid of features.
        decode_head: Config of a ``ReferringHead``, ``RISFeatures`` -> ``RISFeatures`` with logits.
        neck: Config of a neck between a late-fusion backbone and the head.
        data_preprocessor: Config of the data preprocessor.
        test_cfg: ``dict(keep_input_logits=True)`` also stores the logits at the size of the network's input in each
            prediction, which the ``lavt`` and ``caris`` protocols of ``RISMetric`` compare.
        init_cfg: Initialization of the weights.

    Raises:
        ValueError: ``test_cfg`` holds an unknown key, or ``neck`` is combined with early fusion.
    """

    def __init__(self,
                 text_encoder: dict,
                 backbone: dict,
                 *,
                 decode_head: dict,
                 neck: dict | None = None,
                 data_preprocessor: dict | None = None,
                 test_cfg: dict | None = None,
                 init_cfg: dict | None = None):
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        test_cfg = dict(test_cfg or {})
        self.keep_input_logits = test_cfg.pop('keep_input_logits', False)
        if test_cfg:
            raise ValueError(f'unknown keys {sorted(test_cfg)} in model.test_cfg; the only key is keep_input_logits')
        self.text_encoder = MODELS.build(text_encoder)
        self.backbone = MODELS.build(backbone)
        self.early_fusion = getattr(self.backbone, 'language_aware', False)
        if neck is not None:
            if self.early_fusion:
                raise ValueError(f'model.neck needs a backbone that reads the image alone, but {backbone["type"]} '
                                 'reads the expression too: drop the neck or use another backbone')
            self.neck = MODELS.build(neck)
        self.decode_head = MODELS.build(decode_head)

    @property
    def align_corners(self) -> bool:
        """How logits are resized: as the decode head does."""
        return self.decode_head.align_corners

    def init_weights(self) -> None:
        """Initialize the weights.

        Raises:
            FileNotFoundError: Pretrained weights cannot be found, downloaded or read; the message says how to go on.
            ValueError: The pretrained weights of the backbone belong to another model.
        """
        sources = pretrained_sources(self)
        keys = list(sources) or ['init_cfg']
        with explain_missing_weights('model', ', '.join(sources.values()),
                                     option=' or '.join(f'{key}.checkpoint' for key in keys),
                                     scratch=' or '.join(f'{key}=None' for key in keys)), \
                require_pretrained_weights(self.backbone, 'model.backbone.init_cfg'):
            super().init_weights()

    def encode_text(self, expressions: Sequence[str]) -> TextFeatures:
        """Encode B expressions."""
        return self.text_encoder(list(expressions))

    def encode_image(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Encode images with shape (B, 3, H, W) without any expression.

        Returns:
            The visual features V_i with shape (B, C_i, H_i, W_i), shallow to deep.

        Raises:
            TypeError: The backbone fuses language while it encodes, so that no image feature is free of it.
        """
        if self.early_fusion:
            raise TypeError(f'{type(self.backbone).__name__} reads the expression while it encodes the image: '
                            'use extract(inputs, expressions)')
        visual = self.backbone(inputs)
        return tuple(self.neck(visual) if self.with_neck else visual)

    def decode(self, visual: tuple[Tensor, ...], expressions: Sequence[str]) -> RISFeatures:
        """Decode encoded images for B expressions.

        Args:
            visual: What ``encode_image`` returned, for B images or for one image that all expressions speak of.
            expressions: B expressions.
        """
        return self.decode_head(RISFeatures(visual=visual, text=self.encode_text(expressions)))

    def extract(self, inputs: Tensor, expressions: Sequence[str]) -> RISFeatures:
        """Run the whole network once and hand out everything it computed.

        Args:
            inputs: Normalized images with shape (B, 3, H, W).
            expressions: B expressions.
        """
        if not self.early_fusion:
            return self.decode(self.encode_image(inputs), expressions)
        return self.decode_head(self.backbone(inputs, self.encode_text(expressions)))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict:
        """Compute the mask losses of B images with shape (B, 3, H, W), named ``decode.<loss name>``."""
        return self.mask_losses(self.extract(inputs, expressions_of(data_samples)), data_samples)

    def mask_losses(self, features: RISFeatures, data_samples: list[SegDataSample]) -> dict:
        """Compute the mask losses of what ``extract`` returned, named ``decode.<loss name>``."""
        return {f'decode.{name}': value for name, value in self.decode_head.loss(features, data_samples).items()}

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample]) -> list[SegDataSample]:
        """Predict the masks of B images with shape (B, 3, H, W).

        Returns:
            The samples with ``pred_sem_seg`` (1, H0, W0), values {0, 1}, and ``seg_logits`` (1 or 2, H0, W0) at the
            original size of the image, and with ``input_seg_logits`` (1 or 2, H, W) where ``test_cfg`` asks for it.
        """
        logits = self._resize(self._extract_once_per_image(inputs, data_samples).logits, inputs.shape[-2:])
        for sample_logits, sample in zip(logits, data_samples):
            meta = sample.metainfo
            left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
            height, width = sample_logits.shape[-2:]
            sample_logits = sample_logits[:, top:height - bottom, left:width - right]
            if self.keep_input_logits:
                sample.set_data({'input_seg_logits': PixelData(data=sample_logits)})
            original = self._resize(sample_logits[None], meta['ori_shape'][:2])[0]
            sample.set_data({
                'seg_logits': PixelData(data=original),
                'pred_sem_seg': PixelData(data=self.decode_head.predict_mask(original)[None]),
            })
        return data_samples

    def _extract_once_per_image(self, inputs: Tensor, data_samples: list[SegDataSample]) -> RISFeatures:
        """``extract``, but neighbours that show the same image share one pass of a late-fusion backbone."""
        expressions = expressions_of(data_samples)
        if self.early_fusion:
            return self.extract(inputs, expressions)
        paths = [sample.metainfo.get('img_path') for sample in data_samples]
        row_of, rows = [], []  # the encoded row of each sample, and the input that the row encodes
        for i, path in enumerate(paths):
            if i == 0 or path is None or path != paths[i - 1] or not torch.equal(inputs[i], inputs[i - 1]):
                rows.append(i)
            row_of.append(len(rows) - 1)
        visual = self.encode_image(inputs[rows])
        if 1 < len(rows) < len(row_of):
            visual = tuple(feature[row_of] for feature in visual)
        return self.decode(visual, expressions)

    def _resize(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(logits.shape[-2:]) == tuple(size):
            return logits
        return F.interpolate(logits, size=tuple(size), mode='bilinear', align_corners=self.align_corners)

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample]) -> Tensor:
        """Return the logits (B, 1 or 2, H', W') as the head computes them."""
        return self.extract(inputs, expressions_of(data_samples)).logits

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Name that MMSegmentation's tools use for ``encode_image``."""
        return self.encode_image(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list[SegDataSample]) -> Tensor:
        """Return the logits (B, 1 or 2, H, W) at the size of the inputs, as MMSegmentation's tools ask for them."""
        return self._resize(self._forward(inputs, batch_data_samples), inputs.shape[-2:])


def expressions_of(data_samples: Sequence[SegDataSample] | None) -> list[str]:
    """Return the expression of every sample.

    Raises:
        ValueError: There are no samples, or one has no expression in its metainfo.
    """
    if not data_samples:
        raise ValueError('a referring segmentor needs data_samples: the expression is in their metainfo')
    missing = [i for i, sample in enumerate(data_samples) if 'expression' not in sample.metainfo]
    if missing:
        raise ValueError(f'samples {missing} of the batch have no expression in their metainfo: add SampleExpression '
                         'to the pipeline and "expression" to the meta_keys of PackReferringInputs')
    return [sample.metainfo['expression'] for sample in data_samples]
