"""Conversion of published LAVT weights: layouts and error messages (values: test_lavt_goldens.py)."""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmseg.models.utils.embed import PatchMerging

from mmseg_ris_kd.models.lavt_conversion import convert_lavt, lavt_entries

REPOSITORY = Path(__file__).resolve().parents[2]


def make_published(variant='lavt', depth=2, channels=4):
    """Names of a small LAVT with random values; only those of patch merging have the shapes of a real one."""
    names = [f'backbone.layers.{i}.blocks.{depth - 1}.norm1.weight' for i in range(4)]
    names.append('text_encoder.encoder.layer.0.output.dense.weight')
    state = {entry.published: torch.randn(2, 3) if entry.layout == 'conv' else torch.randn(3)
             for entry in lavt_entries(dict.fromkeys(names))}
    for i in range(3):
        width = channels * 2**i
        state[f'backbone.layers.{i}.downsample.reduction.weight'] = torch.randn(2 * width, 4 * width)
        state[f'backbone.layers.{i}.downsample.norm.weight'] = torch.randn(4 * width)
        state[f'backbone.layers.{i}.downsample.norm.bias'] = torch.randn(4 * width)
    if variant == 'lavt_one':
        return dict(model=state)
    bert = {name[len('text_encoder.'):]: value for name, value in state.items() if name.startswith('text_encoder.')}
    model = {name: value for name, value in state.items() if not name.startswith('text_encoder.')}
    return dict(model=model, bert_model=bert, optimizer={}, epoch=39)


def test_patch_merging_computes_the_same():
    """The original Swin concatenates the patch's pixels (0, 0), (1, 0), (0, 1), (1, 1), as (row, column)."""
    published, channels = make_published(), 4
    weights = {name: published['model'][f'backbone.layers.0.downsample.{name}']
               for name in ('reduction.weight', 'norm.weight', 'norm.bias')}
    image = torch.randn(2, 6, 8, channels)
    merged = torch.cat([image[:, 0::2, 0::2], image[:, 1::2, 0::2], image[:, 0::2, 1::2], image[:, 1::2, 1::2]], dim=-1)
    merged = torch.nn.functional.layer_norm(merged, (4 * channels, ), weights['norm.weight'], weights['norm.bias'])
    expected = (merged @ weights['reduction.weight'].T).flatten(1, 2)

    module = PatchMerging(channels, 2 * channels)
    prefix = 'backbone.stages.0.downsample.'
    module.load_state_dict({name[len(prefix):]: value for name, value in convert_lavt(published).items()
                            if name.startswith(prefix)})
    torch.testing.assert_close(module(image.flatten(1, 2), (6, 8))[0], expected, rtol=1e-4, atol=1e-5)


def test_both_variants_give_the_same_names():
    separate, together = convert_lavt(make_published()), convert_lavt(make_published('lavt_one'))
    assert set(separate) == set(together)
    assert {name.split('.')[0] for name in separate} == {'backbone', 'decode_head', 'text_encoder'}


def test_buffers_of_old_transformers_and_ddp_prefixes():
    published = make_published()
    expected = convert_lavt(published)
    published['bert_model']['embeddings.position_ids'] = torch.arange(512)[None]
    wrapped = {part: {f'module.{name}': value for name, value in published[part].items()}
               for part in ('model', 'bert_model')}
    converted = convert_lavt(wrapped)
    assert set(converted) == set(expected)
    assert all(torch.equal(converted[name], expected[name]) for name in expected)


def test_missing_and_unknown_weights():
    published = make_published()
    del published['model']['classifier.conv1_4.weight'], published['model']['backbone.layers.2.blocks.0.mlp.fc1.bias']
    published['model']['classifier.conv9.weight'] = torch.zeros(1)
    with pytest.raises(ValueError) as error:
        convert_lavt(published)
    for part in ('2 weights are missing', 'backbone.layers.2.blocks.0.mlp.fc1.bias', 'classifier.conv1_4.weight',
                 '1 are unknown', 'classifier.conv9.weight'):
        assert part in str(error.value)
    with pytest.raises(ValueError, match='weights are missing'):
        convert_lavt(dict(model=make_published()['model']))  # without BERT
    with pytest.raises(KeyError, match='entry "model"'):
        convert_lavt(dict(state_dict={}))


def run_tool(*arguments):
    tool = REPOSITORY / 'tools' / 'model_converters' / 'lavt_to_mmseg.py'
    return subprocess.run([sys.executable, str(tool), *map(str, arguments)], cwd=REPOSITORY, capture_output=True,
                          text=True, env={**os.environ, 'PYTHONPATH': str(REPOSITORY)})


@pytest.mark.slow
def test_the_tool(tmp_path):
    published = make_published()
    published['args'] = argparse.Namespace(lr=5e-5)  # the published checkpoints hold the training arguments
    source, target = tmp_path / 'lavt.pth', tmp_path / 'out' / 'teacher.pth'
    torch.save(published, source)
    result = run_tool(source, target)
    assert result.returncode == 0, result.stderr
    state_dict = torch.load(target, weights_only=True)['state_dict']
    expected = convert_lavt(published)
    assert set(state_dict) == set(expected)
    assert all(torch.equal(state_dict[name], expected[name]) for name in expected)

    source.write_bytes(source.read_bytes()[:1000])
    result = run_tool(source, target)
    assert result.returncode == 1 and 'Traceback' not in result.stderr and 'lavt.pth' in result.stderr
