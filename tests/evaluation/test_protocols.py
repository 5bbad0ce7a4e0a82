"""Tests of the protocol table."""
import math

import pytest
import torch

from mmseg_ris_kd.evaluation.protocols import PROTOCOLS, Protocol, get_protocol


def test_table_is_the_one_of_the_published_code():
    table = {name: (p.resolution, p.mask_rule, p.comparison, len(p.thresholds), p.eps) for name, p in PROTOCOLS.items()}
    assert table == {
        'ours': ('original', 'prediction', '>=', 5, 0),
        'lavt': ('input', 'argmax', '>=', 5, 0),
        'caris': ('input', 'argmax', '>=', 3, 0),
        'cris': ('original', 'threshold', '>', 5, 1e-6),
        'detris': ('original', 'threshold', '>', 5, 1e-6),
    }
    empty = {name: p.empty_iou for name, p in PROTOCOLS.items()}
    assert math.isnan(empty.pop('caris')) and empty == {'ours': 1, 'lavt': 0, 'cris': 0, 'detris': 0}
    assert PROTOCOLS['cris'].mask_threshold == PROTOCOLS['detris'].mask_threshold == 0.35


@pytest.mark.parametrize('name', ['cris', 'detris'])
def test_cris_thresholds_are_those_of_float32_arange(name):
    assert list(PROTOCOLS[name].thresholds) == torch.arange(0.5, 1.0, 0.1).tolist()
    assert PROTOCOLS[name].precision_names == ('Pr@0.5', 'Pr@0.6', 'Pr@0.7', 'Pr@0.8', 'Pr@0.9')


def test_a_changed_protocol_does_not_pass_for_the_published_one():
    assert get_protocol('lavt').name == 'lavt'
    same = {'comparison': '>=', 'empty_iou': None, 'thresholds': [0.5, 0.6, 0.7, 0.8, 0.9]}
    assert get_protocol('lavt', same).name == 'lavt'
    changed = get_protocol('lavt', {'empty_iou': 'nan', 'thresholds': [0.5]})
    assert changed.name == 'lavt, empty_iou=nan, thresholds=(0.5,)' and math.isnan(changed.empty_iou)
    assert changed.resolution == 'input'
    assert get_protocol('caris', {'empty_iou': 'nan'}).name == 'caris'


@pytest.mark.parametrize('field, value', [
    ('resolution', 'resized'), ('mask_rule', 'sigmoid'), ('comparison', '=='), ('mask_threshold', 1.5),
    ('thresholds', (50, 60)), ('thresholds', (0.5, 0.5)), ('empty_iou', 2), ('eps', -1),
])
def test_bad_values_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        Protocol(name='x', **{field: value})


def test_unknown_names_are_refused_with_the_choice():
    with pytest.raises(ValueError, match="'lavt'.* got 'lvt'"):
        get_protocol('lvt')
    with pytest.raises(ValueError, match='threshold.*mask_threshold'):
        get_protocol('lavt', {'threshold': 0.5})
    with pytest.raises(ValueError, match='original size'):
        get_protocol('ours', {'resolution': 'input'})
