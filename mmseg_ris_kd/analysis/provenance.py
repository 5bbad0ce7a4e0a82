"""Where a number comes from."""
from __future__ import annotations

import subprocess
from pathlib import Path

import torch


def commit_of(folder: Path) -> str:
    """Abbreviated hash of the checked-out commit, with ``-dirty`` if files differ; a remark where there is no git."""
    try:
        return subprocess.run(['git', 'describe', '--always', '--dirty', '--abbrev=12'], cwd=folder, check=True,
                              capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return 'unknown (no git)'


def environment() -> str:
    """Torch's version, its threads on a CPU, and the GPU if there is one."""
    parts = [f'torch {torch.__version__}', f'CPU threads: {torch.get_num_threads()}']
    return ', '.join([*parts, *([torch.cuda.get_device_name()] if torch.cuda.is_available() else [])])
