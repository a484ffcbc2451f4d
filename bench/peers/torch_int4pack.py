"""torch's own int4 product on the CPU, the one behind torchao's Int4WeightOnlyConfig."""

from __future__ import annotations

import torch

from peers.base import Absent, IntegerCandidate


class TorchInt4Pack(IntegerCandidate):
    activations = "exact"

    def __init__(self, group_size: int, input_dtype: torch.dtype):
        super().__init__(4, group_size)
        if group_size not in (32, 64, 128, 256):
            raise Absent(f"takes group sizes 32, 64, 128 and 256, not {group_size}")
        self.name = f"torch int4pack g{group_size}"
        self.input_dtype = input_dtype
        self._copies = []

    def bytes_per_group(self):
        return 2 * self.input_dtype.itemsize

    def prepare(self, weight, copies, threads):
        self.require_whole_groups(weight)
        torch.set_num_threads(threads)
        int4 = self.integers(weight)
        inner_k_tiles = 1  # ignored on the CPU
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(int4.codes.int(), inner_k_tiles)
        # Its dequantization is (code - 8) * scale + zero; [K / group_size, N, 2].
        scale = int4.scale.to(self.input_dtype)
        scale_and_zero = torch.stack([scale, torch.zeros_like(scale)], dim=2).transpose(0, 1).contiguous()
        self._copies = [(packed.clone(), scale_and_zero.clone()) for _ in range(copies)]

    def bind(self, copy, x):
        product, group_size = torch.ops.aten._weight_int4pack_mm_for_cpu, self.group_size
        packed, scale_and_zero = self._copies[copy]
        return lambda: product(x, packed, group_size, scale_and_zero)

    def release(self):
        self._copies = []
