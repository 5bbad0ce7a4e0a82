"""Where half precision does not do."""
from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return a half-precision tensor of any shape as float32, any other as it is."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
