"""What a computation costs: multiply-accumulates, seconds and bytes."""
from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

EXPRESSION = 'the man in the red shirt on the left'  # that costs are told for: those of recurrent encoders grow with it


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(step: Callable[[], object]) -> int:
    """Return the multiply-accumulates of ``step()``, attention on whatever kernel included."""
    cpu_attention = getattr(torch.ops.aten, '_scaled_dot_product_flash_attention_for_cpu', None)  # torch leaves it out
    with FlopCounterMode(display=False, custom_mapping={cpu_attention: _attention_flops}) as counter:
        step()
    return counter.get_total_flops() // 2


def _attention_flops(query: tuple, key: tuple, value: tuple, *_, **__) -> int:
    return sdpa_flop_count(query, key, value)


def median_seconds(steps: dict[str, Callable[[], object]], *, rounds: int, device: str) -> dict[str, float]:
    """Return the median seconds of each step, all of them taken in turn in every round.

    Slow drifts of the machine, such as its temperature, meet all steps alike, so that their ratios can be trusted.

    Args:
        steps: What to time, by name.
        rounds: Rounds that count, after one that does not.
        device: Device of the work; a GPU's is waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device.startswith('cuda'):
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def peak_bytes(step: Callable[[], object], *, device: str) -> int:
    """Return how many bytes of tensors ``step()`` allocates at most at a time, beyond those that were there before."""
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _LiveTensors() as live:
        step()
    return live.peak


def resident_bytes(modules: Iterable[nn.Module], optimizer: torch.optim.Optimizer | None = None) -> int:
    """Return the bytes that stay between steps: parameters and buffers of ``modules``, and the optimizer's state."""
    tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    tensors += [leaf for leaf in tree_leaves(optimizer.state_dict()['state'] if optimizer else {})
                if isinstance(leaf, torch.Tensor)]
    return sum({tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}.values())


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, for as long as these live."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor))
        given = {tensor.untyped_storage()._cdata for tensor in tensors}
        outputs = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(outputs):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf.untyped_storage(), given)
        return outputs

    def _note(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key = storage._cdata
        if key in given or key in self._known:
            return  # a view, or made in place
        size = storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
