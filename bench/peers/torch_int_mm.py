"""torch._int_mm, with what a user has to write around it: rows of x rounded to int8 before, scales after."""

from __future__ import annotations

import torch
from weights import ROW

from peers.base import IntegerCandidate


def dynamic_linear(x: torch.Tensor, values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x @ (values * scale).T; values int8 [N, K], scale fp32 [N]."""
    x_scale = x.abs().amax(dim=1, keepdim=True).float() / 127
    codes = (x / x_scale).round().to(torch.int8)
    return (torch._int_mm(codes, values.t()) * x_scale * scale).to(x.dtype)


class TorchIntMm(IntegerCandidate):
    activations = "int8"
    name = "torch _int_mm row"

    def __init__(self, input_dtype: torch.dtype):
        super().__init__(8, ROW)
        self.input_dtype = input_dtype
        self._copies = []

    def bytes_per_group(self):
        return 4  # fp32 scale

    def prepare(self, weight, copies, threads):
        torch.set_num_threads(threads)
        int8 = self.integers(weight)
        self._copies = [(int8.values.clone(), int8.scale.float().view(-1)) for _ in range(copies)]

    def bind(self, copy, x):
        values, scale = self._copies[copy]
        return lambda: dynamic_linear(x, values, scale)

    def release(self):
        self._copies = []
