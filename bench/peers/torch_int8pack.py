"""torch's own int8 product with exact activations, the one behind torchao's Int8WeightOnlyConfig on the CPU."""

from __future__ import annotations

import torch
from weights import ROW

from peers.base import IntegerCandidate


class TorchInt8Pack(IntegerCandidate):
    activations = "exact"
    name = "torch int8pack row"

    def __init__(self, input_dtype: torch.dtype):
        super().__init__(8, ROW)
        self.input_dtype = input_dtype
        self._copies = []

    def bytes_per_group(self):
        return self.input_dtype.itemsize

    def prepare(self, weight, copies, threads):
        # It loads aligned vectors and does not care for the rest of a row: another K crashes the process.
        if weight.shape[1] % 16:
            raise ValueError(f"K = {weight.shape[1]} is no multiple of 16")
        torch.set_num_threads(threads)
        int8 = self.integers(weight)
        scale = int8.scale.view(-1).to(self.input_dtype)
        self._copies = [(int8.values.clone(), scale.clone()) for _ in range(copies)]

    def bind(self, copy, x):
        product = torch.ops.aten._weight_int8pack_mm
        values, scale = self._copies[copy]
        return lambda: product(x, values, scale)

    def release(self):
        self._copies = []
