"""Published checkpoints in miniature: the names of real ones, with random values."""
from __future__ import annotations

import torch

from mmseg_ris_kd.models.conversion import lavt_entries, swin_entries


def random_swin(prefix: str = '', *, depths: tuple = (1, 1, 2, 1), heads: tuple = (1, 2, 4, 8), window: int = 3,
                width: int = 4) -> dict:
    """A Swin Transformer; only what tells its size and how layouts change has the shape of a real one."""
    names = [f'{prefix}layers.{i}.blocks.{depth - 1}.norm1.weight' for i, depth in enumerate(depths)]
    state = {entry.published: torch.randn(3) for entry in swin_entries(dict.fromkeys(names), prefix)}
    state[f'{prefix}patch_embed.proj.weight'] = torch.randn(width, 3, 4, 4)
    for i, depth in enumerate(depths):
        for j in range(depth):
            state[f'{prefix}layers.{i}.blocks.{j}.attn.relative_position_bias_table'] = torch.randn(
                (2 * window - 1)**2, heads[i])
    for i in range(3):
        channels = width * 2**i
        state[f'{prefix}layers.{i}.downsample.reduction.weight'] = torch.randn(2 * channels, 4 * channels)
        state[f'{prefix}layers.{i}.downsample.norm.weight'] = torch.randn(4 * channels)
        state[f'{prefix}layers.{i}.downsample.norm.bias'] = torch.randn(4 * channels)
    return state


def random_lavt(variant: str = 'lavt') -> dict:
    state = random_swin('backbone.')
    names = dict.fromkeys([*state, 'text_encoder.encoder.layer.0.output.dense.weight'])
    for entry in lavt_entries(names):
        state.setdefault(entry.published, torch.randn(2, 3) if entry.layout == 'conv' else torch.randn(3))
    if variant == 'lavt_one':
        return dict(model=state)
    bert = {name.removeprefix('text_encoder.'): value for name, value in state.items() if name.startswith('text_enc')}
    model = {name: value for name, value in state.items() if not name.startswith('text_encoder.')}
    return dict(model=model, bert_model=bert, optimizer={}, epoch=39)


def published_swin(state: dict) -> dict:
    """The original layout of a ``SwinTransformer``'s state dict: what a conversion has to undo."""
    names = [name.replace('stages.', 'layers.') for name in state]
    published = {}
    for entry in swin_entries(dict.fromkeys(names)):
        value = state[entry.name]
        if entry.layout == 'merge':  # ... x (C, dy, dx) -> ... x (dx, dy, C)
            value = value.unflatten(-1, (-1, 2, 2)).transpose(-3, -1).flatten(-3)
        published[entry.published] = value
    return published
