"""Names and layouts of published LAVT weights, and how they map to this package's modules."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

BERT = 'text_encoder.'  # what names BERT's entries here, and in checkpoints of the variant lavt_one
BERT_MODULE = 'text_encoder.model.'  # the transformers module inside this package's text encoder
# buffers that old versions of transformers saved, rebuilt by the model
IGNORED = ('text_encoder.embeddings.position_ids', )
NUM_STAGES = 4


@dataclass(frozen=True)
class Entry:
    """One state-dict entry: its published name, its name here, and how its layout changes.

    Args:
        published: Name in the published model, BERT's entries under ``text_encoder.``.
        name: Name in ``ReferringSegmentor(backbone=LanguageAwareSwin, decode_head=LAVTHead)``.
        layout: ``same``; ``conv``: weight of a linear layer or 1-D convolution, here of a 1x1 convolution; or
            ``merge``: the input channels of patch merging in another order.
    """
    published: str
    name: str
    layout: str = 'same'


def convert_lavt(checkpoint: Mapping) -> dict[str, Tensor]:
    """Convert published LAVT weights to the state dict of a ``ReferringSegmentor``.

    Args:
        checkpoint: A published checkpoint of the variant ``lavt`` (state dicts ``model`` and ``bert_model``) or
            ``lavt_one`` (``model`` alone, BERT inside); other entries such as the optimizer are ignored.

    Returns:
        State dict that ``ReferringSegmentor.load_state_dict`` takes strictly.

    Raises:
        KeyError: The checkpoint has no entry ``model``.
        ValueError: Weights are missing or unknown; the message lists them.
    """
    published = _published_state_dict(checkpoint)
    entries = list(lavt_entries(published))
    names = {entry.published for entry in entries}
    missing = sorted(names - set(published))
    unknown = sorted(set(published) - names)
    if missing or unknown:
        raise ValueError(f'this is not a LAVT checkpoint: {len(missing)} weights are missing {missing[:10]}, '
                         f'{len(unknown)} are unknown {unknown[:10]}')
    return {entry.name: _change_layout(published[entry.published], entry.layout) for entry in entries}


def lavt_entries(published: Mapping) -> Iterator[Entry]:
    """Yield every entry of a LAVT whose depths are those found in the names of ``published``."""
    yield from _pair('backbone.patch_embed.proj', 'backbone.patch_embed.projection')
    yield from _pair('backbone.patch_embed.norm', 'backbone.patch_embed.norm')
    for stage in range(NUM_STAGES):
        yield from _stage_entries(stage, depth=_length(published, rf'backbone\.layers\.{stage}\.blocks\.(\d+)\.'))
    for i in range(NUM_STAGES):
        yield from _pair(f'backbone.norm{i}', f'decode_head.norms.{i}')
    for block in range(NUM_STAGES - 1):
        for j in range(2):
            published_suffix = f'{j + 1}_{NUM_STAGES - block}'
            ours = f'decode_head.blocks.{block}.{j}'
            yield Entry(f'classifier.conv{published_suffix}.weight', f'{ours}.conv.weight')
            for field in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'):
                yield Entry(f'classifier.bn{published_suffix}.{field}', f'{ours}.bn.{field}')
    yield from _pair('classifier.conv1_1', 'decode_head.conv_seg')
    yield from _bert_entries(_length(published, r'text_encoder\.encoder\.layer\.(\d+)\.'))


def _published_state_dict(checkpoint: Mapping) -> dict[str, Tensor]:
    """Merge the two variants into one dict of names, BERT's entries under ``text_encoder.``."""
    if 'model' not in checkpoint:
        raise KeyError('a published LAVT checkpoint has an entry "model", this one has '
                       f'{sorted(map(str, checkpoint))[:10]}')
    state = dict(checkpoint['model'])
    state.update({BERT + _strip(name): value for name, value in checkpoint.get('bert_model', {}).items()})
    state = {_strip(name): value for name, value in state.items()}
    return {name: value for name, value in state.items() if name not in IGNORED}


def _strip(name: str) -> str:
    return name[len('module.'):] if name.startswith('module.') else name  # left by distributed training


def _stage_entries(stage: int, depth: int) -> Iterator[Entry]:
    for i in range(depth):
        theirs, ours = f'backbone.layers.{stage}.blocks.{i}', f'backbone.stages.{stage}.blocks.{i}'
        for name in ('norm1', 'norm2'):
            yield from _pair(f'{theirs}.{name}', f'{ours}.{name}')
        for name in ('relative_position_bias_table', 'relative_position_index'):
            yield Entry(f'{theirs}.attn.{name}', f'{ours}.attn.w_msa.{name}')
        for name in ('qkv', 'proj'):
            yield from _pair(f'{theirs}.attn.{name}', f'{ours}.attn.w_msa.{name}')
        yield from _pair(f'{theirs}.mlp.fc1', f'{ours}.ffn.layers.0.0')
        yield from _pair(f'{theirs}.mlp.fc2', f'{ours}.ffn.layers.1')
    theirs, ours = f'backbone.layers.{stage}.fusion', f'backbone.fusions.{stage}'
    for name, projection, layout in (('vis_project.0', 'visual', 'conv'), ('image_lang_att.f_query.0', 'query', 'conv'),
                                     ('image_lang_att.f_key.0', 'key', 'same'),
                                     ('image_lang_att.f_value.0', 'value', 'same'),
                                     ('image_lang_att.W.0', 'language', 'conv'), ('project_mm.0', 'output', 'conv')):
        yield from _pair(f'{theirs}.{name}', f'{ours}.{projection}_projection', layout)
    for i in (0, 2):
        yield Entry(f'backbone.layers.{stage}.res_gate.{i}.weight', f'backbone.gates.{stage}.{i}.weight', 'conv')
    if stage < NUM_STAGES - 1:
        theirs, ours = f'backbone.layers.{stage}.downsample', f'backbone.stages.{stage}.downsample'
        for name in ('reduction.weight', 'norm.weight', 'norm.bias'):
            yield Entry(f'{theirs}.{name}', f'{ours}.{name}', 'merge')


def _bert_entries(depth: int) -> Iterator[Entry]:
    names = [f'embeddings.{kind}_embeddings.weight' for kind in ('word', 'position', 'token_type')]
    modules = ['embeddings.LayerNorm']
    for i in range(depth):
        modules += [f'encoder.layer.{i}.{name}' for name in (
            'attention.self.query', 'attention.self.key', 'attention.self.value', 'attention.output.dense',
            'attention.output.LayerNorm', 'intermediate.dense', 'output.dense', 'output.LayerNorm')]
    names += [f'{module}.{field}' for module in modules for field in ('weight', 'bias')]
    for name in names:
        yield Entry(BERT + name, BERT_MODULE + name)


def _pair(published: str, name: str, layout: str = 'same') -> tuple[Entry, Entry]:
    return Entry(f'{published}.weight', f'{name}.weight', layout), Entry(f'{published}.bias', f'{name}.bias')


def _length(published: Mapping, pattern: str) -> int:
    found = [re.match(pattern, name) for name in published]
    return max((int(match.group(1)) + 1 for match in found if match), default=1)


def _change_layout(value: Tensor, layout: str) -> Tensor:
    if layout == 'conv':
        return value.reshape(*value.shape[:2], 1, 1)
    if layout == 'merge':
        # the original Swin concatenates the four pixels of a patch, column after column, channels inside;
        # mmseg unfolds them: channels outside, row after row inside
        *rows, width = value.shape
        columns = value.reshape(*rows, 2, 2, width // 4)  # ... x (dx, dy, C)
        return columns.transpose(-3, -1).reshape(value.shape)  # ... x (C, dy, dx)
    return value
