"""The rates that the device reaches at best, measured in the same run: what an operator's figures are fractions of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch
import torch.nn.functional as F

from gpu.timing import Call, Timer, Times, call_all


@dataclass
class Ceilings:
    copy_bytes_per_second: float  # read and written together
    read_bytes_per_second: float
    bf16_flops: float
    fp16_flops: float
    int8_ops: float | None  # None where torch has no int8 product
    fp8_flops: float | None  # the same
    launch_seconds: float  # of the smallest kernel in a graph: no call is faster

    def to_json(self) -> dict:
        return asdict(self)


class _Meter:
    def __init__(self, timer: Timer, device: str, rounds: int):
        self._timer = timer
        self._rounds = rounds
        self.device = device
        # Far beyond any cache; small where there is no device: a dry run's figures mean nothing.
        self.large_bytes = 1 << 30 if device == "cuda" else 1 << 20
        self.size = 8192 if device == "cuda" else 128

    def seconds(self, call: Call, calls: int = 1) -> float:
        """Of the fastest round of so many calls, each."""
        call()
        return self.seconds_of_run(partial(call_all, [call] * calls), calls)

    def seconds_of_run(self, run: Call, calls: int) -> float:
        self._timer.synchronize()
        times = Times()
        self._timer.interleave([(run, calls, True, times)], self._rounds, math.inf)
        return times.best

    def copy(self) -> float:
        source = torch.zeros(self.large_bytes // 4, dtype=torch.int32, device=self.device)
        target = torch.empty_like(source)
        return 2 * self.large_bytes / self.seconds(lambda: target.copy_(source), 4)

    def read(self) -> float:
        """By a reduction of all or of rows, or by a matrix-vector product: whichever reads faster."""
        floats = torch.zeros(self.large_bytes // 4, device=self.device)
        halves = floats.view(torch.bfloat16).view(-1, 2 * self.size)
        vector = torch.zeros(halves.shape[1], dtype=torch.bfloat16, device=self.device)
        rows = floats.view(-1, 4096)
        calls = (lambda: floats.sum(), lambda: rows.amax(dim=1), lambda: torch.mv(halves, vector))
        return self.large_bytes / min(self.seconds(call, 4) for call in calls)

    def product(self, dtype: torch.dtype) -> float:
        a, b = (torch.randn(self.size, self.size, device=self.device).to(dtype) for _ in range(2))
        return 2 * self.size**3 / self.seconds(lambda: F.linear(a, b))

    def int8_product(self) -> float | None:
        return self.product_of_bytes(torch.int8, torch._int_mm)

    def fp8_product(self) -> float | None:
        one = torch.ones((), device=self.device)
        multiply = partial(torch._scaled_mm, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
        return self.product_of_bytes(torch.float8_e4m3fn, multiply)

    def product_of_bytes(self, dtype: torch.dtype, multiply: Callable[..., object]) -> float | None:
        shape = self.size, self.size
        a, b = (torch.randint(-8, 8, shape, dtype=torch.int8, device=self.device).to(dtype) for _ in range(2))
        try:
            return 2 * self.size**3 / self.seconds(lambda: multiply(a, b.t()))
        except RuntimeError:
            return None

    def launch(self) -> float:
        one, calls = torch.zeros(1, device=self.device), 200
        one.add_(1)
        graph, _ = self._timer.graph([lambda: one.add_(1)] * calls)
        return self.seconds_of_run(graph, calls)


def measure(timer: Timer, device: str, rounds: int) -> Ceilings:
    meter = _Meter(timer, device, rounds)
    return Ceilings(
        copy_bytes_per_second=meter.copy(),
        read_bytes_per_second=meter.read(),
        bf16_flops=meter.product(torch.bfloat16),
        fp16_flops=meter.product(torch.float16),
        int8_ops=meter.int8_product(),
        fp8_flops=meter.fp8_product(),
        launch_seconds=meter.launch(),
    )
