"""Binary masks have one degree of freedom per pixel: the forms that class-wise losses take on them."""
from __future__ import annotations

import torch
from torch import Tensor


def as_two_classes(logits: Tensor) -> Tensor:
    """Turn one foreground logit z, (N, 1, H, W), into the logits [0, z] of two classes; else unchanged."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def foreground_logit(logits: Tensor) -> Tensor:
    """Return the log-odds of the foreground (N, 1, H, W) of logits with one or two channels."""
    return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]
