"""Distributed training on CPU (gloo) that computes what one process computes on the whole batch."""
from __future__ import annotations

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _AllReduceSum(torch.autograd.Function):
    """Sum over all processes; the gradient of a sum over processes is the sum of their gradients."""

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


class CPUSyncBatchNorm(_BatchNorm):
    """Batch normalization over the batch of all processes, for CPU; ``torch.nn.SyncBatchNorm`` runs on GPU only.

    Mean and variance are those of all processes together. In evaluation, or in one process, it is plain batch
    normalization with the same parameters, buffers and state dict.
    """

    def _check_input_dim(self, inputs: Tensor) -> None:
        if inputs.dim() < 2:
            raise ValueError(f'expected an input with at least 2 dimensions (B, C, ...), but got {tuple(inputs.shape)}')

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalize ``inputs`` of shape (B, C, ...) per channel."""
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(inputs)
        self._check_input_dim(inputs)
        axes = [axis for axis in range(inputs.dim()) if axis != 1]
        count = inputs.new_tensor([inputs.numel() / inputs.shape[1]])
        total = _AllReduceSum.apply(torch.cat([inputs.sum(axes), count]))
        mean = total[:-1] / total[-1]
        shape = [1, -1] + [1] * (inputs.dim() - 2)
        centred = inputs - mean.view(shape)
        # a second reduction instead of E[x^2] - E[x]^2, which cancels in float32
        var = _AllReduceSum.apply(centred.pow(2).sum(axes)) / total[-1]
        if self.track_running_stats:
            self._update_running_stats(mean.detach(), var.detach() * total[-1].detach() / (total[-1].detach() - 1))
        output = centred * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output

    def _update_running_stats(self, mean: Tensor, unbiased_var: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(unbiased_var, momentum)


def synchronize_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch normalization below ``module`` by ``CPUSyncBatchNorm``; parameters and buffers are kept."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, CPUSyncBatchNorm):
            synced = CPUSyncBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
            synced.to(child.weight if child.affine else torch.float32)
            synced.load_state_dict(child.state_dict())
            synced.train(child.training)
            for parameter, source in zip(synced.parameters(), child.parameters()):
                parameter.requires_grad_(source.requires_grad)
            setattr(module, name, synced)
        else:
            synchronize_batch_norm(child)
    return module


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's data-parallel wrapper for CPU: no device ids, and batch statistics over all processes.

    Args:
        module: The model; all of it stays on the CPU.
        find_unused_parameters: Whether some trainable parameters get no gradient in a forward pass.
    """

    def __init__(self, module: nn.Module, *, find_unused_parameters: bool = False, device_ids: None = None):
        super().__init__(
            synchronize_batch_norm(module),
            device_ids=None,  # mmengine passes the local rank, which is no CPU device
            broadcast_buffers=False,
            find_unused_parameters=find_unused_parameters)
