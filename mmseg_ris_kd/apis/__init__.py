"""What programs and the command line tools build on: configs by name, strict checkpoints, inference, launching."""
from .checkpoint import (
    best_checkpoint,
    check_state_dict,
    latest_checkpoint,
    load_checkpoint_strictly,
    read_checkpoint,
)
from .config import find_config, list_configs, load_config
from .inferencer import ReferringInferencer, ReferringPrediction, without_pretrained_weights

__all__ = [
    'ReferringInferencer', 'ReferringPrediction', 'best_checkpoint', 'check_state_dict', 'find_config',
    'latest_checkpoint', 'list_configs', 'load_checkpoint_strictly', 'load_config', 'read_checkpoint',
    'without_pretrained_weights'
]
