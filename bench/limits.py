"""The machine's limits, measured by limits.cpp in the same run as the candidates, and what they mean for one product."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import native

MIB = 1 << 20


@dataclass
class Limits:
    """The best rates seen so far with one number of threads, in 1e9 bytes or operations per second."""

    threads: int
    last_level_cache_bytes: int
    #: Streaming reads by footprint in bytes: a cache level each, and main memory.
    read_gbps: dict[int, float] = field(default_factory=dict)
    fp32_gflops: float = 0
    #: 0 where the CPU has no bf16 dot product: bf16 operands are then multiplied as fp32.
    bf16_gflops: float = 0
    int8_gops: float = 0

    def measure(self) -> None:
        """Takes about two seconds. Called several times in a run, it keeps the best: a neighbour only ever slows it down."""
        library = _library()
        cache = self.last_level_cache_bytes
        for footprint in (MIB // 4, MIB, cache // 8, cache // 4, cache // 2, 8 * cache):
            rate = library.limits_read_gbps(footprint, self.threads)
            self.read_gbps[footprint] = max(rate, self.read_gbps.get(footprint, 0))
        self.fp32_gflops = max(self.fp32_gflops, library.limits_fp32_gflops(self.threads))
        self.bf16_gflops = max(self.bf16_gflops, library.limits_bf16_gflops(self.threads))
        self.int8_gops = max(self.int8_gops, library.limits_int8_gops(self.threads))

    def read_rate(self, weight_bytes: int, weights_warm: bool) -> float:
        """GB/s at which the weight can be read: from memory, or when warm from the smallest footprint that holds it."""
        memory = max(self.read_gbps)
        footprint = (
            min((size for size in self.read_gbps if size >= weight_bytes), default=memory) if weights_warm else memory
        )
        return self.read_gbps[footprint]

    def peak(self, activations: str, input_dtype: str) -> float:
        """1e9 operations per second of the instruction that suits the operands."""
        if activations == "int8":
            return self.int8_gops
        return self.bf16_gflops if input_dtype == "bfloat16" and self.bf16_gflops else self.fp32_gflops

    def seconds(
        self, weight_bytes: int, weights_warm: bool, operations: float, activations: str, input_dtype: str
    ) -> float:
        """The least time of a product: the longer of reading its weight and of its arithmetic."""
        read = weight_bytes / (self.read_rate(weight_bytes, weights_warm) * 1e9)
        compute = operations / (self.peak(activations, input_dtype) * 1e9)
        return max(read, compute)


def _library() -> ctypes.CDLL:
    library = native.library("bench_limits")
    library.limits_read_gbps.argtypes = [ctypes.c_size_t, ctypes.c_int]
    for name in ("limits_read_gbps", "limits_fp32_gflops", "limits_bf16_gflops", "limits_int8_gops"):
        getattr(library, name).restype = ctypes.c_double
    return library
