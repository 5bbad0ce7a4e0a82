"""Missing pretrained weights end in one message."""
from __future__ import annotations

from functools import partial
from urllib.error import URLError

import pytest
import torch
from mmengine.model import BaseModule, Sequential
from mmengine.runner import CheckpointLoader
from mmseg.models.backbones import ResNet, SwinTransformer

from mmseg_ris_kd.models.pretrained import (
    MissingWeightsError,
    explain_missing_weights,
    pretrained_sources,
    require_pretrained_weights,
)


@pytest.mark.parametrize('cause', [
    FileNotFoundError('r18.pth can not be found.'),
    URLError('Name or service not known'),
    EOFError(),
    RuntimeError('PytorchStreamReader failed reading zip archive'),
    RuntimeError('invalid hash value (expected "e5c09f74", got "0")'),
])
def test_message(cause):
    with pytest.raises(FileNotFoundError) as error:
        with explain_missing_weights('backbone (ResNet)', 'https://example.org/r18.pth'):
            raise cause
    message = str(error.value)
    for part in ('backbone (ResNet)', 'https://example.org/r18.pth', type(cause).__name__, 'init_cfg.checkpoint',
                 'init_cfg=None'):
        assert part in message
    assert error.value.__cause__ is None and error.value.__suppress_context__  # one message, not a chain


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match='size mismatch'):
        with explain_missing_weights('backbone', 'r18.pth'):
            raise RuntimeError('size mismatch for conv1.weight')
    with explain_missing_weights('backbone', 'r18.pth'):
        pass


def test_the_innermost_explanation_stays():
    with pytest.raises(MissingWeightsError) as error:
        with explain_missing_weights('model'):
            with explain_missing_weights('text encoder', 'bert-mini', option='text_encoder.pretrained', scratch='x'):
                raise OSError('offline')
    assert 'of the text encoder from bert-mini (OSError: offline)' in str(error.value)
    assert 'of the model' not in str(error.value) and 'text_encoder.pretrained' in str(error.value)


def test_real_loader_and_truncated_file(tmp_path):
    (tmp_path / 'truncated.pth').write_bytes(b'PK\x03\x04 no archive')
    for name in ('absent.pth', 'truncated.pth'):
        with pytest.raises(MissingWeightsError, match=name):
            with explain_missing_weights('backbone', str(tmp_path / name)):
                CheckpointLoader.load_checkpoint(str(tmp_path / name), map_location='cpu')


def test_pretrained_sources():
    inner = BaseModule(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'))
    model = Sequential(inner, BaseModule(init_cfg=[dict(type='Normal', layer='Conv2d')]), BaseModule())
    assert pretrained_sources(model) == {'model.0.init_cfg': 'torchvision://resnet18'}


SMALL = dict(depth=18, stem_channels=8, base_channels=8)


def initialize(state_dict, path, *, build=lambda init_cfg: ResNet(**SMALL, init_cfg=init_cfg), prefix=None):
    torch.save(state_dict, path)
    module = build(init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix=prefix))
    with require_pretrained_weights(module, 'model.backbone.init_cfg'):
        module.init_weights()
    assert not module._load_state_dict_pre_hooks and not module._load_state_dict_post_hooks
    return module


@pytest.mark.parametrize('prefix', [None, 'backbone'])
def test_a_classifier_and_missing_counters_are_welcome(tmp_path, prefix):
    source = {name: torch.randn_like(value) for name, value in ResNet(**SMALL).state_dict().items()
              if not name.endswith('num_batches_tracked')}
    stored = {f'{prefix}.{name}' if prefix else name: value for name, value in source.items()}
    module = initialize({**stored, 'fc.weight': torch.zeros(1000, 64)}, tmp_path / 'r18.pth', prefix=prefix)
    assert all(torch.equal(module.state_dict()[name], value) for name, value in source.items())


@pytest.mark.parametrize('state, prefix, words', [
    (lambda: {'visual.conv1.weight': torch.zeros(1)}, None, ['lacks 100 of the 100', 'conv1.weight', '.prefix=']),
    (lambda: {f'backbone.{name}': value for name, value in ResNet(**SMALL).state_dict().items()}, None,
     ['lacks 100 of the 100']),
    (lambda: ResNet(**{**SMALL, 'num_stages': 3, 'strides': (1, 2, 2), 'dilations': (1, 1, 1),
                       'out_indices': (0, 1, 2)}).state_dict(), None, ['the first being layer4.0.conv1.weight']),
    (lambda: ResNet(**{**SMALL, 'base_channels': 16}).state_dict(), None, ['do not fit', 'size mismatch for layer1.0']),
    (lambda: {'visual.conv1.weight': torch.zeros(1)}, 'backbone', ["no weights below", "prefix='backbone'"]),
    (lambda: {'visual.conv1.weight': torch.zeros(1)}, 'backbone.', ["no weights below"]),
])
def test_weights_of_another_model_are_refused(tmp_path, state, prefix, words):
    with pytest.raises(ValueError) as error:
        initialize(state(), tmp_path / 'foreign.pth', prefix=prefix)
    for part in ('foreign.pth (model.backbone.init_cfg.checkpoint)', 'model.backbone.init_cfg=None', *words):
        assert part in str(error.value)


def test_output_norms_are_not_required(tmp_path):
    nano = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), window_size=4)
    state = {name: value for name, value in SwinTransformer(**nano).state_dict().items() if not name.startswith('norm')}
    build = partial(SwinTransformer, **nano)
    initialize(state, tmp_path / 'swin.pth', build=build)
    del state['stages.0.blocks.0.norm1.weight']
    with pytest.raises(ValueError, match='lacks 1 of .*stages.0.blocks.0.norm1.weight'):
        initialize(state, tmp_path / 'swin.pth', build=build)


def test_other_assertions_pass():
    module = ResNet(**SMALL, init_cfg=dict(type='Pretrained', checkpoint='r18.pth', prefix='backbone'))
    with pytest.raises(AssertionError, match='ours'):
        with require_pretrained_weights(module, 'model.backbone.init_cfg'):
            raise AssertionError('ours')
