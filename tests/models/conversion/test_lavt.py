"""Names of LAVT (values: test_lavt_goldens.py)."""
from __future__ import annotations

import torch
from published_checkpoints import random_lavt

from mmseg_ris_kd.models.conversion import recognise


def test_both_variants_give_the_same_names():
    separate, together = (recognise(random_lavt(variant)).convert() for variant in ('lavt', 'lavt_one'))
    assert set(separate.state_dict) == set(together.state_dict)
    assert {name.split('.')[0] for name in separate.state_dict} == {'backbone', 'decode_head', 'text_encoder'}
    assert not separate.missing and not separate.unknown


def test_buffers_of_old_transformers_and_prefixes_of_distributed_training():
    plain = random_lavt()
    expected = recognise(plain).convert().state_dict
    plain['bert_model']['embeddings.position_ids'] = torch.arange(512)[None]
    wrapped = {part: {f'module.{name}': value for name, value in plain[part].items()}
               for part in ('model', 'bert_model')}
    converted = recognise(wrapped).convert()
    assert not converted.unknown and set(converted.state_dict) == set(expected)
    assert all(torch.equal(converted.state_dict[name], expected[name]) for name in expected)


def test_missing_and_unknown_weights_are_all_named():
    checkpoint = random_lavt()
    removed = ['backbone.layers.2.blocks.0.mlp.fc1.bias', 'classifier.conv1_4.weight']
    for name in removed:
        del checkpoint['model'][name]
    checkpoint['model']['classifier.conv9.weight'] = torch.zeros(1)
    converted = recognise(checkpoint).convert()
    assert converted.missing == removed and converted.unknown == ['classifier.conv9.weight']
    assert 'decode_head.blocks.0.0.bn.weight' in converted.state_dict
    assert 'decode_head.blocks.0.0.conv.weight' not in converted.state_dict
