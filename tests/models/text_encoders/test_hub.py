"""What happens when a pretrained model is not at hand."""
from __future__ import annotations

import pytest
import torch
from huggingface_hub import constants

from mmseg_ris_kd.models.text_encoders import BertExpressionEncoder, CLIPExpressionEncoder
from mmseg_ris_kd.models.text_encoders.hub import load_model, load_pretrained

NAME = 'mmseg-ris-kd/no-such-model'


class Loader:
    """Records how it was called; holds nothing, unless online."""

    def __init__(self, online: bool = False) -> None:
        self.online = online
        self.calls = []

    def __call__(self, local_files_only: bool) -> str:
        self.calls.append(local_files_only)
        if local_files_only or not self.online:
            raise OSError('nothing here\nlong story')
        return 'model'


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:9')  # refuses at once, network or not


@pytest.mark.parametrize('encoder', [BertExpressionEncoder, CLIPExpressionEncoder])
def test_unreachable_hub(offline, encoder):
    with pytest.raises(FileNotFoundError) as error:
        encoder(pretrained=NAME)
    message = str(error.value)
    assert NAME in message and 'http://127.0.0.1:9 cannot be reached' in message
    for way_on in ('--cfg-options model.text_encoder.pretrained=/path/to/folder', 'HF_HUB_OFFLINE=1',
                   'config=dict(...) and vocab_file='):
        assert way_on in message
    assert len(message.splitlines()) == 1
    assert error.value.__cause__ is None and error.value.__context__ is None


def test_unreachable_hub_is_not_asked_for_files(offline):
    load = Loader(online=True)
    with pytest.raises(FileNotFoundError):
        load_pretrained(NAME, load)
    assert load.calls == [True]  # no retries of a minute


def test_offline_by_choice(monkeypatch):
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(FileNotFoundError, match='HF_HUB_OFFLINE forbids'):
        load_pretrained(NAME, Loader())


def test_hub_is_asked_only_for_what_is_not_cached(monkeypatch):
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr('mmseg_ris_kd.models.text_encoders.hub._hub_answers', lambda endpoint: True)
    load = Loader(online=True)
    assert load_pretrained(NAME, load) == 'model' and load.calls == [True, False]
    assert load_pretrained(NAME, lambda local_files_only: local_files_only) is True
    with pytest.raises(FileNotFoundError, match='cannot be loaded from the hub .*: nothing here. To go on'):
        load_pretrained(NAME, Loader())


@pytest.mark.parametrize('path', ['/no/such/folder', './checkpoints/bert', 'checkpoints/models/bert'])
def test_missing_folder_is_not_looked_up_on_the_hub(path):
    load = Loader(online=True)
    with pytest.raises(FileNotFoundError, match='is not an existing folder'):
        load_pretrained(path, load)
    assert load.calls == []


def test_half_precision_weights_are_trained_in_float32(tmp_path, tiny_bert):
    from transformers import BertConfig, BertModel
    reference = BertModel(BertConfig(vocab_size=7, **tiny_bert)).half()
    reference.save_pretrained(tmp_path)
    model = load_model(BertModel, str(tmp_path), None, local_files_only=True, options={})
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    weights = model.state_dict()
    assert all(torch.equal(weights[name], value.float()) for name, value in reference.named_parameters())


def test_arguments_are_those_of_every_version():
    """``dtype`` came with transformers 4.56, ``torch_dtype`` goes: neither is passed."""

    class Model(torch.nn.Linear):

        @classmethod
        def from_pretrained(cls, name, *, config, local_files_only, output_loading_info):
            return cls(1, 1, dtype=torch.float16), dict(missing_keys=[])

    model = load_model(Model, 'any', None, local_files_only=True, options={})
    assert model.weight.dtype == torch.float32
