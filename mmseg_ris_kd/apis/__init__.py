"""What programs and the command line tools build on: configs by name, strict checkpoints, inference, launching."""
from ..engine.checkpoint import (
    best_checkpoint,
    check_state_dict,
    latest_checkpoint,
    load_checkpoint_strictly,
    read_checkpoint,
    state_dict_differences,
)
from ..models.pretrained import inference_model
from .config import find_config, list_configs, load_config, student_options
from .inferencer import ReferringInferencer, ReferringPrediction

__all__ = [
    'ReferringInferencer', 'ReferringPrediction', 'best_checkpoint', 'check_state_dict', 'find_config',
    'inference_model', 'latest_checkpoint', 'list_configs', 'load_checkpoint_strictly', 'load_config',
    'read_checkpoint', 'state_dict_differences', 'student_options'
]
