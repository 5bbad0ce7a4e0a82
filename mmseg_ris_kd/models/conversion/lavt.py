"""Names and layouts of published LAVT weights, and how they map to this package's modules."""
from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from .entries import Conversion, Entry, convert, count, weight_and_bias
from .swin import NUM_STAGES, swin_entries

BERT = 'text_encoder.'  # what names BERT's entries here, and in checkpoints of the variant lavt_one
BERT_MODULE = 'text_encoder.model.'  # the transformers module inside this package's text encoder
# buffers that old versions of transformers saved, rebuilt by the model, and the pooler, whose output LAVT does not read
IGNORED = r'text_encoder\.(embeddings\.position_ids|pooler\..*)'


def convert_lavt(published: Mapping[str, Tensor]) -> Conversion:
    """Convert published LAVT weights to those of a ``ReferringSegmentor``.

    Args:
        published: The weights of ``lavt_state_dict``.

    Returns:
        State dict that ``ReferringSegmentor(backbone=LanguageAwareSwin, decode_head=LAVTHead)`` takes strictly, if
        nothing is missing.
    """
    return convert(published, lavt_entries(published), ignored=IGNORED)


def lavt_state_dict(model: Mapping[str, Tensor], bert_model: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Merge the two variants of published checkpoints into one dict of names, BERT's under ``text_encoder.``.

    Args:
        model: Entry ``model`` of the checkpoint.
        bert_model: Entry ``bert_model`` of the variant ``lavt``; None for ``lavt_one``, which has BERT in ``model``.
    """
    return {**model, **{BERT + name: value for name, value in (bert_model or {}).items()}}


def lavt_entries(published: Mapping) -> Iterator[Entry]:
    """Yield every entry of a LAVT whose depths are those found in the names of ``published``."""
    yield from swin_entries(published, 'backbone.')
    for stage in range(NUM_STAGES):
        yield from _fusion_entries(stage)
        yield from weight_and_bias(f'backbone.norm{stage}', f'decode_head.norms.{stage}')
    for block in range(NUM_STAGES - 1):
        for j in range(2):
            published_suffix = f'{j + 1}_{NUM_STAGES - block}'
            ours = f'decode_head.blocks.{block}.{j}'
            yield Entry(f'classifier.conv{published_suffix}.weight', f'{ours}.conv.weight')
            for field in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'):
                yield Entry(f'classifier.bn{published_suffix}.{field}', f'{ours}.bn.{field}')
    yield from weight_and_bias('classifier.conv1_1', 'decode_head.conv_seg')
    yield from _bert_entries(bert_depth(published))


def bert_depth(published: Mapping) -> int:
    """Return the number of BERT's layers, by the names in ``published``."""
    return count(published, r'text_encoder\.encoder\.layer\.(\d+)\.')


def _fusion_entries(stage: int) -> Iterator[Entry]:
    theirs, ours = f'backbone.layers.{stage}.fusion', f'backbone.fusions.{stage}'
    for name, projection, layout in (('vis_project.0', 'visual', 'conv'), ('image_lang_att.f_query.0', 'query', 'conv'),
                                     ('image_lang_att.f_key.0', 'key', 'same'),
                                     ('image_lang_att.f_value.0', 'value', 'same'),
                                     ('image_lang_att.W.0', 'language', 'conv'), ('project_mm.0', 'output', 'conv')):
        yield from weight_and_bias(f'{theirs}.{name}', f'{ours}.{projection}_projection', layout)
    for i in (0, 2):
        yield Entry(f'backbone.layers.{stage}.res_gate.{i}.weight', f'backbone.gates.{stage}.{i}.weight', 'conv')


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
