"""Times of layers that could stand in for each other."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ._machine import last_level_cache_bytes
from .size import model_size

# Weights that are read in turn exceed the largest cache by this factor, so that each comes from memory.
_COLD_CACHE_FACTOR = 2.5
# Layers that would need more copies are so small that the calls around them hardly touch the cache.
_MOST_COPIES = 64
# Of a layer, however long they take.
_LEAST_CALLS = 3
# Of one layer's turn in a row, where weights are warm.
_BURST_CALLS = 5
# Of the device's clock. The host enqueues a call meanwhile, so that the device never waits for it.
_CUDA_SLEEP_CYCLES = 1_000_000


@dataclass
class _Contestant:
    calls: list[Callable[[], object]]
    times: list[float] = field(default_factory=list)

    def is_done(self, seconds: float) -> bool:
        return len(self.times) >= _LEAST_CALLS and sum(self.times) >= seconds


@torch.no_grad()
def fastest_seconds(layers: Mapping[str, nn.Module], x: Tensor, cold: bool, seconds_each: float) -> dict[str, float]:
    """The shortest call of each layer with x, in seconds.

    The layers take turns, so that a busy moment of the machine hits all of them, and the shortest call counts, since
    others can only add time. On CUDA it is the device's time alone, as in a CUDA graph.

    Args:
        cold: read weights from memory, as in a model that is larger than the cache: with as many copies of all of them,
            each called in turn, as exceed it (64 at most). Otherwise a layer is called several times in a row.
        seconds_each: about how long each layer is called in all; slow ones are called a few times all the same.
    """
    copies = 1
    if cold:
        all_bytes = sum(map(model_size, layers.values()))
        wanted = _COLD_CACHE_FACTOR * last_level_cache_bytes(x.device) / max(all_bytes, 1)
        copies = min(math.ceil(wanted), _MOST_COPIES)
    contestants = {}
    for name, layer in layers.items():
        copied = [layer, *(copy.deepcopy(layer) for _ in range(copies - 1))]
        contestants[name] = _Contestant([lambda layer=layer: layer(x) for layer in copied])
        layer(x)
    while unfinished := [contestant for contestant in contestants.values() if not contestant.is_done(seconds_each)]:
        for turn in range(copies):
            for contestant in unfinished:
                call = contestant.calls[turn]
                if not cold:
                    call()
                contestant.times += [_seconds_of(call, x.device) for _ in range(1 if cold else _BURST_CALLS)]
    return {name: min(contestant.times) for name, contestant in contestants.items()}


def _seconds_of(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(_CUDA_SLEEP_CYCLES)
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e-3
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
