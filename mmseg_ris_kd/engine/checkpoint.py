"""Load checkpoints so that a wrong file is an error and not a random network."""
from __future__ import annotations

import hashlib
import os.path as osp
from pathlib import Path

import torch
from mmengine.runner import CheckpointLoader
from torch import nn


def load_checkpoint_strictly(model: nn.Module, path: str | Path) -> dict:
    """Load a checkpoint that must hold exactly the parameters and buffers of ``model``.

    Args:
        model: The model; data-parallel wrappers are looked through. Of a distillation's checkpoint a segmentor gets the
            student.
        path: A file, or a URL that mmengine can load.

    Returns:
        The checkpoint, with its ``meta`` entry.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint, is damaged, or belongs to another model; nothing is loaded then.
    """
    checkpoint = read_checkpoint(path)
    check_state_dict(model, checkpoint, path)
    model = getattr(model, 'module', model)
    model.load_state_dict(weights_for(model, checkpoint), strict=True)
    return checkpoint


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint to the CPU; see ``load_checkpoint_strictly`` for the errors."""
    path = str(path)
    if '://' not in path and not osp.isfile(path):
        raise FileNotFoundError(f'no checkpoint {path!r}; training writes them to work_dirs/<config>/epoch_*.pth')
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except Exception as error:  # noqa: BLE001  torch raises anything from EOFError to UnpicklingError
        raise ValueError(f'{path} cannot be read as a checkpoint (truncated, or not written by torch): '
                         f'{str(error).splitlines()[0] if str(error) else type(error).__name__}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, not a checkpoint')
    return checkpoint


def check_state_dict(model: nn.Module, checkpoint: dict, path: str | Path) -> None:
    """Raise a ``ValueError`` that says how a checkpoint differs from ``model``, if it does."""
    model = getattr(model, 'module', model)
    given = weights_for(model, checkpoint)
    differences = state_dict_differences(model, given)
    if not differences:
        _check_fusion_heads(model, checkpoint, path)
        return
    meta = checkpoint.get('meta', {})
    name = meta.get('experiment_name')
    trained = f' (experiment {name})' if name else ''
    if hasattr(model, 'student') and not state_dict_differences(model.student, given):
        raise ValueError(f'{path}: this is a student trained alone{trained} or exported, not a distillation: give the '
                         'checkpoint that the distillation wrote')
    lines = [f'{path} is a checkpoint of another model:', *differences]
    if 'converted_from' in meta:
        lines.append(f'  it was converted from {meta["converted_from"]}, a {meta["kind"]} with {meta["architecture"]}')
    lines.append(f'use the config it was trained with{trained}, or the checkpoint that belongs to this config')
    raise ValueError('\n'.join(lines))


def state_dict_differences(model: nn.Module, given: dict) -> list[str]:
    """Return lines that say which weights of ``given`` are missing, unknown or of another shape than the model's."""
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in given]
    unknown = [key for key in given if key not in wanted]
    reshaped = [f'{key} {tuple(getattr(given[key], "shape", ()))} instead of {tuple(wanted[key].shape)}'
                for key in wanted
                if key in given and getattr(given[key], 'shape', None) != wanted[key].shape]
    lines = []
    for title, keys in (('missing', missing), ('not in the model', unknown), ('of another shape', reshaped)):
        if keys:
            more = f' and {len(keys) - 3} more' if len(keys) > 3 else ''
            lines.append(f'  {len(keys)} {title}: ' + ', '.join(keys[:3]) + more)
    return lines


def _check_fusion_heads(model: nn.Module, checkpoint: dict, path: str | Path) -> None:
    """Compare what changes a model's outputs but no weight's shape, where a converted checkpoint tells it."""
    wanted = checkpoint.get('meta', {}).get('architecture', {}).get('fusion_heads')
    fusions = getattr(getattr(model, 'backbone', None), 'fusions', None)
    if wanted is None or fusions is None:
        return
    built = [fusion.num_heads for fusion in fusions]
    if built != list(wanted):
        raise ValueError(f'{path} was trained with fusion_heads={list(wanted)}, but the model has {built}: set '
                         f'model.backbone.fusion_heads={str(list(wanted)).replace(" ", "")}')


def weights_for(model: nn.Module, checkpoint: dict) -> dict:
    """Return the entries of a checkpoint as ``model`` names them: of a distillation, a segmentor takes the student."""
    weights = {key.removeprefix('module.'): value for key, value in checkpoint.get('state_dict', checkpoint).items()}
    if any(key.startswith('student.') for key in weights) and not hasattr(model, 'student'):
        return {key[len('student.'):]: value for key, value in weights.items() if key.startswith('student.')}
    return weights


def weights_digest(path: str | Path) -> str:
    """Return the first 12 digits of a SHA-256 of a checkpoint's weights, by name.

    What else it holds, such as logged times and the optimizer's state, does not count: a training that is repeated bit
    by bit has the same digest.
    """
    checkpoint = read_checkpoint(path)
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.get('state_dict', checkpoint).items()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Return the newest whole checkpoint of a run, or None.

    mmengine names it in ``last_checkpoint``. Should an interruption have cut off that file or the checkpoint it names
    (which is written again when it turns out to be the best), the newest readable ``epoch_*.pth`` or ``iter_*.pth`` is
    taken.
    """
    work_dir = Path(work_dir)
    files = [*work_dir.glob('epoch_*.pth'), *work_dir.glob('iter_*.pth')]
    files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    pointer = work_dir / 'last_checkpoint'
    if pointer.is_file():
        named = work_dir / Path(pointer.read_text().strip()).name  # by name: the folder may have moved
        if named in files:
            files.insert(0, named)
    for path in files:
        try:
            read_checkpoint(path)
        except ValueError:
            continue
        return str(path)
    return None


def best_checkpoint(path: str | Path) -> str:
    """Return the checkpoint to evaluate.

    Args:
        path: A checkpoint, or the work dir of a run: its best checkpoint, or its last one if none is marked best.

    Raises:
        FileNotFoundError: The work dir holds no checkpoint.
    """
    if not Path(path).is_dir():
        if '://' not in str(path) and not Path(path).is_file():
            raise FileNotFoundError(f'there is no checkpoint and no work dir {str(path)!r}')
        return str(path)
    best = sorted(Path(path).glob('best_*.pth'), key=lambda file: file.stat().st_mtime)
    found = str(best[-1]) if best else latest_checkpoint(path)
    if found is None:
        raise FileNotFoundError(f'the work dir {path} holds no checkpoint (best_*.pth, epoch_*.pth): train first, or '
                                'give the checkpoint file')
    return found
