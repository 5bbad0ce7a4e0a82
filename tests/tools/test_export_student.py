"""What the export of a student refuses; what it writes is tested in test_distillation.py."""
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_ris_kd.apis import inference_model, load_config
from mmseg_ris_kd.datasets.refshapes.language import vocabulary

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'model_converters' / 'export_student.py'
SPEC = importlib.util.spec_from_file_location('export_student', TOOL)
export_student = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(export_student)
CONFIG = 'cmkd_r18-slim_to_r18-nano_refshapes'


@pytest.fixture
def error(tmp_path, monkeypatch, capsys):
    """``error('student.pth', ...)``: how the export of a checkpoint fails, in a folder with two checkpoints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(export_student.cli.TRACEBACK, raising=False)
    Path('vocab.txt').write_text('\n'.join(vocabulary()) + '\n')
    option = 'model.student.text_encoder.vocab_file=vocab.txt'
    model = load_config(CONFIG, dict([option.split('=')])).model
    for name, config in (('distilled', model), ('alone', inference_model(model))):
        torch.save(dict(state_dict=MODELS.build(config).state_dict(), meta={}), f'{name}.pth')

    def run(checkpoint: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, 'argv', ['export_student.py', CONFIG, checkpoint, 'out.pth', *arguments,
                                          '--cfg-options', option])
        with pytest.raises(SystemExit):
            export_student.cli.run(export_student.main)
        assert not list(Path().glob('out*'))
        return capsys.readouterr().err

    return run


def test_another_student_config(error):
    message = error('distilled.pth', '--student-config', 'r18-slim_gru_refshapes')
    assert f'--student-config r18-slim_gru_refshapes is another model than the student of {CONFIG}:' in message
    assert 'of another shape' in message and '.part' not in message


def test_a_student_trained_alone_is_no_distillation(error):
    message = error('alone.pth')
    assert 'alone.pth: this is a student trained alone' in message and 'missing' not in message
