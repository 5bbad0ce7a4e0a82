"""Hooks, optimizer constructors and the model wrapper for distributed training on CPU."""
from . import hooks, optimizers
from .cpu_distributed import CPUDistributedDataParallel, CPUSyncBatchNorm

__all__ = ['CPUDistributedDataParallel', 'CPUSyncBatchNorm', 'hooks', 'optimizers']
