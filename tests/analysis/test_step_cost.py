from __future__ import annotations

import json

import pytest

from mmseg_ris_kd.analysis.step_cost import StepCost, read_costs


@pytest.fixture
def path(tmp_path):
    steps = {
        'student alone': dict(seconds=0.2, bytes=80, resident_bytes=20, parameters=10, train_only_parameters=0),
        'teacher forward': dict(seconds=0.1, bytes=30, resident_bytes=70, parameters=70, train_only_parameters=0),
        'cmkd_a_to_b': dict(seconds=0.5, bytes=110, resident_bytes=40, parameters=10, train_only_parameters=3),
    }
    path = tmp_path / 'cost.json'
    path.write_text(json.dumps(dict(size=96, batch_size=32, device='CPU, 2 threads', torch='2.1', steps=steps)))
    return path


def test_relative_to_the_student_alone(path):
    costs = read_costs(path, dict(cmkd='configs/kd/cmkd_a_to_b.py', cwd='cwd_a_to_b'))
    assert costs.methods == dict(teacher=StepCost(70), student=StepCost(10, 1., 1.), cmkd=StepCost(10, 2.5, 1.5))
    assert costs.source == f'`{path}`: 96 x 96 pixels, batch 32, CPU, 2 threads, torch 2.1'


def test_mistakes_are_named(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="no cost file 'nowhere.json'"):
        read_costs('nowhere.json', dict(cmkd='cmkd_a_to_b'))
    with pytest.raises(ValueError, match=r"of other models than the study.*none of \['cmkd_c_to_d'\]"):
        read_costs(path, dict(cmkd='cmkd_c_to_d'))
    for text in ('{', '[]', '{"steps": {}}'):
        (tmp_path / 'other.json').write_text(text)
        with pytest.raises(ValueError, match='other.json was not written by benchmark_distillation.py'):
            read_costs(tmp_path / 'other.json', dict(cmkd='cmkd_a_to_b'))
