"""Missing pretrained weights end in one message."""
from __future__ import annotations

from urllib.error import URLError

import pytest
from mmengine.model import BaseModule, Sequential
from mmengine.runner import CheckpointLoader

from mmseg_ris_kd.models.pretrained import MissingWeightsError, explain_missing_weights, pretrained_sources


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
    assert pretrained_sources(model) == ['0: torchvision://resnet18']
