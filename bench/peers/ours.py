"""Our operators, called as their users call them."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass

import torch
from weights import ROW, group_text

from peers.base import Absent, IntegerCandidate


@dataclass(frozen=True)
class Operator:
    """torch.ops.torchao.<name>, y = x @ w.T."""

    name: str
    activations: str  # as in Candidate

    def names(self, candidate: str) -> bool:
        """Whether a candidate of this name is the operator, with whatever group size."""
        return candidate.startswith(f"{self.name} ")


def load_operators() -> str:
    """Registers torch.ops.torchao.*, and says which instruction set they use."""
    try:
        import torchao_ops  # noqa: F401  (importing it registers them)
    except ImportError as error:
        raise Absent(f"cannot import torchao_ops: {error}") from error
    return f"torchao_ops {json.loads(torch.ops.torchao.capabilities())['isa']}"


class Ours(IntegerCandidate):
    """An operator that takes x, the tensors of the weight, and a group size."""

    def __init__(self, operator: Operator, bits: int, group_size: int, input_dtype: torch.dtype):
        super().__init__(bits, group_size)
        self.version = load_operators()
        self.name = f"{operator.name} {group_text(group_size)}"
        self.activations = operator.activations
        self.input_dtype = input_dtype
        self._operator = getattr(torch.ops.torchao, operator.name)
        self._copies = []

    @abstractmethod
    def operands(self, weight) -> list[torch.Tensor]:
        """The weight as the operator takes it."""

    def prepare(self, weight, copies, threads):
        torch.set_num_threads(threads)
        operands = self.operands(weight)
        self._copies = [[operand.clone() for operand in operands] for _ in range(copies)]

    def bind(self, copy, x):
        operator, operands, group_size = self._operator, self._copies[copy], self.group_size
        return lambda: operator(x, *operands, group_size)

    def release(self):
        self._copies = []


class Int4(Ours):
    """With a zero point per group, as int4_quantize makes them."""

    def __init__(self, operator: Operator, group_size: int, input_dtype: torch.dtype):
        super().__init__(operator, 4, group_size, input_dtype)

    def bytes_per_group(self):
        return 4  # bf16 scale, bf16 zero point

    def operands(self, weight):
        int4 = self.integers(weight)
        return [int4.packed, int4.scale, torch.full_like(int4.scale, 8)]


class Int8(Ours):
    def __init__(self, operator: Operator, group_size: int, input_dtype: torch.dtype):
        super().__init__(operator, 8, group_size, input_dtype)

    def bytes_per_group(self):
        return 2  # bf16 scale

    def operands(self, weight):
        int8 = self.integers(weight)
        return [int8.values, int8.scale.view(-1) if self.group_size == ROW else int8.scale]
