"""Names and layouts of the original Swin Transformer's weights, and how they map to mmseg's."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from .entries import Conversion, Entry, convert, count, weight_and_bias

# what a model of another window or image size computes anew, and what classifies images
INDEX = 'relative_position_index'
IGNORED = rf'layers\.\d+\.blocks\.\d+\.(attn_mask|attn\.{INDEX})|norm\.(weight|bias)|head\.(weight|bias)'
NUM_STAGES = 4


def convert_swin(published: Mapping[str, Tensor]) -> Conversion:
    """Convert the weights of an original Swin Transformer, such as one pretrained on ImageNet.

    Args:
        published: Its state dict.

    Returns:
        Weights that ``LanguageAwareSwin`` or mmseg's ``SwinTransformer`` take as ``init_cfg``, of any window size; the
        classifier is left out.
    """
    entries = [entry for entry in swin_entries(published) if not entry.published.endswith(INDEX)]
    return convert(published, entries, ignored=IGNORED)


def swin_entries(published: Mapping, prefix: str = '') -> Iterator[Entry]:
    """Yield every entry of a Swin Transformer whose depths are those found in the names of ``published``.

    Args:
        published: Published weights by name; only the names are read.
        prefix: What their names, there and here, begin with.
    """
    yield from weight_and_bias(f'{prefix}patch_embed.proj', f'{prefix}patch_embed.projection')
    yield from weight_and_bias(f'{prefix}patch_embed.norm', f'{prefix}patch_embed.norm')
    for stage, depth in enumerate(_depths(published, prefix)):
        for i in range(depth):
            yield from _block_entries(f'{prefix}layers.{stage}.blocks.{i}', f'{prefix}stages.{stage}.blocks.{i}')
        if stage < NUM_STAGES - 1:
            theirs, ours = f'{prefix}layers.{stage}.downsample', f'{prefix}stages.{stage}.downsample'
            for name in ('reduction.weight', 'norm.weight', 'norm.bias'):
                yield Entry(f'{theirs}.{name}', f'{ours}.{name}', 'merge')


def swin_architecture(published: Mapping[str, Tensor], prefix: str = '') -> dict:
    """Read the size of a Swin Transformer off its weights.

    Args:
        published: Published weights by name.
        prefix: What their names begin with.

    Returns:
        ``embed_dims``, ``depths``, ``num_heads`` and ``window_size``, as ``LanguageAwareSwin`` takes them.

    Raises:
        ValueError: The position biases fit no window, or stages have different ones; the message names the entry.
        KeyError: The weights that tell the size are not there.
    """
    heads, windows = [], {}
    for stage in range(NUM_STAGES):
        name = f'{prefix}layers.{stage}.blocks.0.attn.relative_position_bias_table'
        table = published[name]  # (2 * window - 1)^2 x heads
        if table.dim() != 2:
            raise ValueError(f'{name} has shape {tuple(table.shape)} instead of ((2 * window - 1)^2, heads)')
        side = math.isqrt(table.shape[0])
        if side**2 != table.shape[0] or side % 2 == 0:
            raise ValueError(f'{name} has {table.shape[0]} rows, which is (2 * window - 1)^2 for no window size')
        windows[name] = (side + 1) // 2
        heads.append(table.shape[1])
    if len(set(windows.values())) > 1:
        raise ValueError(f'the stages have different window sizes: {windows}')
    return dict(embed_dims=published[f'{prefix}patch_embed.proj.weight'].shape[0], depths=_depths(published, prefix),
                num_heads=heads, window_size=windows.popitem()[1])


def _block_entries(theirs: str, ours: str) -> Iterator[Entry]:
    for name in ('norm1', 'norm2'):
        yield from weight_and_bias(f'{theirs}.{name}', f'{ours}.{name}')
    for name in ('relative_position_bias_table', INDEX):
        yield Entry(f'{theirs}.attn.{name}', f'{ours}.attn.w_msa.{name}')
    for name in ('qkv', 'proj'):
        yield from weight_and_bias(f'{theirs}.attn.{name}', f'{ours}.attn.w_msa.{name}')
    yield from weight_and_bias(f'{theirs}.mlp.fc1', f'{ours}.ffn.layers.0.0')
    yield from weight_and_bias(f'{theirs}.mlp.fc2', f'{ours}.ffn.layers.1')


def _depths(published: Mapping, prefix: str) -> list[int]:
    return [count(published, rf'{prefix}layers\.{stage}\.blocks\.(\d+)\.') for stage in range(NUM_STAGES)]
