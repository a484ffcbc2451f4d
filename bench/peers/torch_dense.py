"""The product that a quantized layer replaces: F.linear on the dense weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from peers.base import Candidate


class TorchDense(Candidate):
    group_size = None
    activations = "exact"

    def __init__(self, dtype: torch.dtype):
        self.input_dtype = dtype
        self._dtype_name = str(dtype).removeprefix("torch.")
        self.name = f"F.linear {self._dtype_name}"
        self._copies = []

    def weight_bytes(self, weight):
        return weight.dense.numel() * self.input_dtype.itemsize

    def dequantized(self, weight):
        return weight.dense.to(self.input_dtype).float()

    def dequantized_key(self):
        return f"dense {self._dtype_name}"

    def prepare(self, weight, copies, threads):
        torch.set_num_threads(threads)
        self._copies = [weight.dense.to(self.input_dtype, copy=True) for _ in range(copies)]

    def bind(self, copy, x):
        dense = self._copies[copy]
        return lambda: F.linear(x, dense)

    def release(self):
        self._copies = []


def dense(input_dtype: torch.dtype) -> dict[str, Callable[[], TorchDense]]:
    """Constructors by name, for every format: in the dtype of x, and in fp32."""
    dtypes = dict.fromkeys((input_dtype, torch.float32))
    return {f"F.linear {str(dtype).removeprefix('torch.')}": lambda dtype=dtype: TorchDense(dtype) for dtype in dtypes}
