"""An original Swin Transformer and mmseg's with its converted weights."""
from __future__ import annotations

import pytest
import torch
from mmseg.models.utils.embed import PatchMerging
from published_checkpoints import random_swin

from mmseg_ris_kd.models.backbones import LanguageAwareSwin
from mmseg_ris_kd.models.conversion import convert_swin, swin_architecture


def test_patch_merging_computes_the_same():
    """The original Swin concatenates the patch's pixels (0, 0), (1, 0), (0, 1), (1, 1), as (row, column)."""
    state, channels = random_swin(), 4
    weights = {name: state[f'layers.0.downsample.{name}'] for name in ('reduction.weight', 'norm.weight', 'norm.bias')}
    image = torch.randn(2, 6, 8, channels)
    merged = torch.cat([image[:, 0::2, 0::2], image[:, 1::2, 0::2], image[:, 0::2, 1::2], image[:, 1::2, 1::2]], dim=-1)
    merged = torch.nn.functional.layer_norm(merged, (4 * channels, ), weights['norm.weight'], weights['norm.bias'])
    expected = (merged @ weights['reduction.weight'].T).flatten(1, 2)

    module = PatchMerging(channels, 2 * channels)
    prefix = 'stages.0.downsample.'
    module.load_state_dict({name[len(prefix):]: value for name, value in convert_swin(state).state_dict.items()
                            if name.startswith(prefix)})
    torch.testing.assert_close(module(image.flatten(1, 2), (6, 8))[0], expected, rtol=1e-4, atol=1e-5)


def test_classifier_and_shift_masks_are_left_out():
    state = random_swin()
    names = set(convert_swin(state).state_dict)
    more = {name: torch.ones(1) for name in ('head.weight', 'norm.bias', 'layers.2.blocks.1.attn_mask')}
    converted = convert_swin({**state, **more})
    assert set(converted.state_dict) == names and not converted.missing and not converted.unknown
    assert set(more) < set(converted.left_out)  # and the position indices
    assert convert_swin({**state, 'norm9.weight': torch.ones(1)}).unknown == ['norm9.weight']


@pytest.mark.parametrize('depths, heads, window', [
    ((2, 2, 6, 2), (3, 6, 12, 24), 7), ((2, 2, 18, 2), (3, 6, 12, 24), 7), ((2, 2, 18, 2), (4, 8, 16, 32), 12),
    ((2, 2, 18, 2), (6, 12, 24, 48), 12)], ids=['tiny', 'small', 'base', 'large'])
def test_what_converts_is_the_whole_backbone(depths, heads, window):
    """The published sizes, but for two channels per head."""
    state = random_swin(depths=depths, heads=heads, window=window, width=2 * heads[0])
    size = swin_architecture(state)
    assert size == dict(embed_dims=2 * heads[0], depths=list(depths), num_heads=list(heads), window_size=window)
    backbone = LanguageAwareSwin(text_channels=16, **size)
    own = {name for name in backbone.state_dict()
           if not name.startswith(backbone.not_pretrained) and not name.endswith('relative_position_index')}
    assert set(convert_swin(state).state_dict) == own


@pytest.mark.parametrize('rows, message', [(24, r'24 rows, .* no window size'), (16, 'no window size'),
                                           (169, 'different window sizes')])
def test_tables_that_fit_no_window(rows, message):
    state = random_swin()
    state['layers.1.blocks.0.attn.relative_position_bias_table'] = torch.randn(rows, 2)
    with pytest.raises(ValueError, match=message):
        swin_architecture(state)
