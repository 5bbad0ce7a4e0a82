"""Fixtures shared by all tests."""
from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_ris_kd  # noqa: F401  registers the components and applies the compatibility layer
from mmseg_ris_kd.apis import load_config
from mmseg_ris_kd.datasets.refshapes.language import vocabulary

REPOSITORY = Path(__file__).resolve().parents[1]
# what the hub's config.json of each pretrained text encoder says; the hub itself is not asked
TEXT_CONFIGS = {
    'bert-base-uncased': dict(),
    'google/bert_uncased_L-4_H-256_A-4': dict(
        hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024),
}


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder with the real samples and golden numbers; tests that use it skip where it is absent."""
    path = Path(os.environ.get('MMSEG_RIS_KD_SHARED', REPOSITORY.parent / 'shared' / 'data'))
    if not (path / 'refer').is_dir():
        pytest.skip(f'no shared data at {path}; set MMSEG_RIS_KD_SHARED to the folder that holds refer/ and goldens/')
    return path.resolve()


@pytest.fixture(autouse=True)
def _default_scope() -> None:
    """Components are looked up as under a config of this project, whatever scope a runner of another test left."""
    init_default_scope('mmseg')


@pytest.fixture(scope='session')
def offline_model(tmp_path_factory):
    """``offline_model(config.model)``: the same architecture, with random weights instead of those of downloads.

    A second argument names another vocabulary than a made-up one.
    """
    # as large as BERT's, with a few real words in it; RefShapes has its own
    bert = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'man', 'in', 'red', 'shirt']
    bert += [f'[unused{i}]' for i in range(30522 - len(bert))]
    folder = tmp_path_factory.mktemp('vocabularies')
    vocab_files = {}
    for name, words in dict(bert=bert, refshapes=vocabulary()).items():
        vocab_files[name] = folder / f'{name}.txt'
        vocab_files[name].write_text('\n'.join(words) + '\n')

    def offline(model: dict, vocab_file: str | None = None) -> dict:
        model = copy.deepcopy(model)
        if 'student' in model:
            return dict(model, **{part: offline(model[part], vocab_file) for part in ('student', 'teacher')})
        model['backbone'].pop('init_cfg', None)
        text_encoder = model['text_encoder']
        own = 'refshapes' in (text_encoder.get('vocab_file') or '')
        text_encoder['vocab_file'] = str(vocab_file or vocab_files['refshapes' if own else 'bert'])
        pretrained = text_encoder.pop('pretrained', None)
        if pretrained:
            text_encoder['config'] = TEXT_CONFIGS[pretrained]
        return model

    return offline


@pytest.fixture
def build_model(offline_model):
    """``build_model(name)`` builds the model of a config."""
    return lambda name: MODELS.build(offline_model(load_config(name).model))
