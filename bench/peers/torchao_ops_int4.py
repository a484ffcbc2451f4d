"""Ours: torchao::int4_mm and torchao::int4_dynamic_mm, with a zero point per group, as int4_quantize makes them."""

from __future__ import annotations

import json

import torch

from peers.base import Absent, Int4Candidate


def load_operators() -> str:
    """Registers torch.ops.torchao.*, and says which instruction set they use."""
    try:
        import torchao_ops  # noqa: F401  (importing it registers them)
    except ImportError as error:
        raise Absent(f"cannot import torchao_ops: {error}") from error
    return f"torchao_ops {json.loads(torch.ops.torchao.capabilities())['isa']}"


class TorchaoOpsInt4(Int4Candidate):
    def __init__(self, operator: str, group_size: int, input_dtype: torch.dtype):
        super().__init__(group_size)
        self.version = load_operators()
        self.name = f"{operator} g{group_size}"
        self.activations = "int8" if operator == "int4_dynamic_mm" else "exact"
        self.input_dtype = input_dtype
        self._operator = getattr(torch.ops.torchao, operator)
        self._copies = []

    def bytes_per_group(self):
        return 4  # bf16 scale, bf16 zero point

    def prepare(self, weight, copies, threads):
        torch.set_num_threads(threads)
        int4 = weight.int4(self.group_size)
        zero_point = torch.full_like(int4.scale, 8)
        self._copies = [(int4.packed.clone(), int4.scale.clone(), zero_point.clone()) for _ in range(copies)]

    def bind(self, copy, x):
        operator, group_size = self._operator, self.group_size
        packed, scale, zero_point = self._copies[copy]
        return lambda: operator(x, packed, scale, zero_point, group_size)

    def release(self):
        self._copies = []
