"""Checkpoints as others publish them: read without running code, recognised, and converted."""
from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .entries import Conversion
from .lavt import BERT, bert_depth, convert_lavt, lavt_state_dict
from .swin import convert_swin, swin_architecture


@dataclass(frozen=True)
class PublishedModel:
    """What a checkpoint holds.

    Args:
        kind: ``'lavt'`` (BERT beside the model), ``'lavt_one'`` (BERT inside) or ``'swin'`` (a plain Swin Transformer).
        weights: All weights by their published names, BERT's under ``text_encoder.``.
        architecture: Options of ``LanguageAwareSwin`` that the weights tell. The number of fusion heads leaves no trace
            in them: it is here where the training's arguments were saved beside the weights and name it (``mha``).
        bert_layers: Layers of BERT, 0 for ``'swin'``.
    """
    kind: str
    weights: dict[str, Tensor]
    architecture: dict
    bert_layers: int

    def convert(self) -> Conversion:
        """Convert the weights to those of a ``ReferringSegmentor``, or of its backbone for ``'swin'``."""
        return (convert_swin if self.kind == 'swin' else convert_lavt)(self.weights)


def read_published(path: str | Path) -> dict:
    """Read a published checkpoint to the CPU without running code from it.

    Args:
        path: A file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint, is cut off, or holds objects other than tensors, plain containers and the
            arguments of a training script.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint at {path}; published weights are downloaded by hand from their authors')
    if hasattr(torch.serialization, 'add_safe_globals'):  # torch >= 2.4
        torch.serialization.add_safe_globals([argparse.Namespace])  # LAVT saves its arguments beside the weights
    try:
        # memory mapping reads each weight when it is converted, but the format before torch 1.6 has none
        checkpoint = torch.load(str(path), map_location='cpu', weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:  # torch's own text advises to run the code
        found = re.search(r'(?:GLOBAL|Unsupported class) (\S+)', str(error))
        if not found:
            raise ValueError(f'{path} is no checkpoint of torch, or is cut off') from None
        raise ValueError(f'{path} holds an object {found.group(1)}, neither a tensor nor a plain container: reading it '
                         'could run code, so it is refused (with torch < 2.4 this happens to the arguments of a '
                         'training script, too: convert with a newer torch)') from None
    except Exception as error:  # noqa: BLE001  torch raises anything, from EOFError to UnicodeDecodeError
        raise ValueError(f'{path} is no checkpoint of torch, or is cut off; repeat a download that was interrupted '
                         f'({_first_line(error)})') from None
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, not the dict of a checkpoint')
    return checkpoint


def recognise(checkpoint: Mapping) -> PublishedModel:
    """Tell which published model a checkpoint holds.

    Args:
        checkpoint: As read by ``read_published``: ``model``, for LAVT maybe ``bert_model``, and entries that do not
            count, such as the optimizer. Names may begin with ``module.``, which distributed training leaves.

    Raises:
        ValueError: It is neither a LAVT nor a Swin Transformer, or its weights contradict each other.
    """
    parts = {}
    for part in ('model', 'bert_model'):
        entries = checkpoint.get(part, {})
        if not isinstance(entries, Mapping) or not all(
                isinstance(name, str) and isinstance(value, Tensor) for name, value in entries.items()):
            raise ValueError(f'its entry {part!r} is not a dict of tensors by name')
        parts[part] = {name.removeprefix('module.'): value for name, value in entries.items()}
    model, bert = parts['model'], parts['bert_model']
    if 'backbone.patch_embed.proj.weight' in model:
        kind, prefix = 'lavt' if bert else 'lavt_one', 'backbone.'
    elif 'patch_embed.proj.weight' in model and not bert:
        kind, prefix = 'swin', ''
    else:
        raise ValueError('neither a LAVT (entry "model" with backbone.*, classifier.*) nor a Swin Transformer (entry '
                         f'"model" with patch_embed.*, layers.*): its entries are {_some(checkpoint)}'
                         + (f', and of "model" {_some(model)}' if model else ''))
    try:
        architecture = swin_architecture(model, prefix)
    except KeyError as error:
        raise ValueError(f'a {kind} without {error.args[0]}: another architecture, or a part of a checkpoint') from None
    weights = lavt_state_dict(model, bert)
    if kind != 'swin':
        for part, name in (('BERT', BERT), ('decoder', 'classifier.'), ('fusion', 'backbone.layers.0.fusion.')):
            if not any(key.startswith(name) for key in weights):
                raise ValueError(f'a {kind} without its {part} ({name}*): another architecture, or a part of a '
                                 'checkpoint')
    heads = getattr(checkpoint.get('args'), 'mha', None)
    if kind != 'swin' and isinstance(heads, str) and re.fullmatch(r'\d+(-\d+){3}', heads):
        architecture['fusion_heads'] = [int(number) for number in heads.split('-')]
    return PublishedModel(kind, weights, architecture, 0 if kind == 'swin' else bert_depth(weights))


def _is_zip(path: str | Path) -> bool:
    with open(path, 'rb') as file:
        return file.read(4) == b'PK\x03\x04'


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _some(names: Mapping) -> str:
    shown = [str(name) for name in list(names)[:5]]
    return ', '.join(shown) + (f' and {len(names) - 5} more' if len(names) > 5 else '') if names else 'none'
