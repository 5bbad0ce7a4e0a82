"""A trained model that only looks on."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from ...structures import RISFeatures


class FrozenTeacher:
    """Hold a trained segmentor that computes features and never changes.

    It is no ``nn.Module``: whoever holds it has none of its parameters, so that no optimizer, checkpoint, EMA copy or
    data-parallel bucket sees them. It stays in evaluation mode for good (drop paths off, batch statistics fixed).

    Args:
        model: A ``ReferringSegmentor`` with its weights loaded.
    """

    def __init__(self, model: nn.Module):
        self.model = model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, inputs: Tensor, expressions: Sequence[str]) -> RISFeatures:
        """Return everything the teacher computes for normalized images (B, 3, H, W) and B expressions."""
        return self.model.extract(inputs, expressions)

    def apply(self, change: Callable[[Tensor], Tensor]) -> None:
        """Change every tensor in place as ``nn.Module._apply`` does, such as moving it to a device."""
        self.model._apply(change)
        for module in self.model.modules():
            if isinstance(module, BaseDataPreprocessor):  # which sends images where it believes to be
                module._device = next(self.model.parameters()).device

    def __deepcopy__(self, memo: dict) -> FrozenTeacher:
        return self  # copies of a distiller, such as EMA's, share it
