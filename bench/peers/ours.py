"""Our operators, called as their users call them."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass

import torch
from weights import ROW, group_text

from peers.base import Absent, Candidate, IntegerCandidate


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


class Ours(Candidate):
    """One of our operators: y = operator(x, *operands, *arguments). A format says what its operands are."""

    #: What follows the tensors of the weight.
    arguments: tuple = ()

    def __init__(self, operator: Operator, input_dtype: torch.dtype, suffix: str):
        self.version = load_operators()
        self.name = f"{operator.name} {suffix}"
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
        operator, operands, arguments = self._operator, self._copies[copy], self.arguments
        return lambda: operator(x, *operands, *arguments)

    def release(self):
        self._copies = []


class _OurIntegers(Ours, IntegerCandidate):
    bits: int

    def __init__(self, operator: Operator, group_size: int, input_dtype: torch.dtype):
        Ours.__init__(self, operator, input_dtype, group_text(group_size))
        IntegerCandidate.__init__(self, self.bits, group_size)
        self.arguments = (group_size,)


class Int4(_OurIntegers):
    """With a zero point per group, as int4_quantize makes them."""

    bits = 4

    def bytes_per_group(self):
        return 4  # bf16 scale, bf16 zero point

    def operands(self, weight):
        int4 = self.integers(weight)
        return [int4.packed, int4.scale, torch.full_like(int4.scale, 8)]


class Int8(_OurIntegers):
    bits = 8

    def bytes_per_group(self):
        return 2  # bf16 scale

    def operands(self, weight):
        int8 = self.integers(weight)
        return [int8.values, int8.scale.view(-1) if self.group_size == ROW else int8.scale]


class Nf4(Ours):
    """With fp32 scales, or with 8-bit ones (double quantization), as bitsandbytes makes both."""

    def __init__(self, operator: Operator, block_size: int, double_quant: bool, input_dtype: torch.dtype):
        suffix = f"g{block_size} double" if double_quant else f"g{block_size}"
        super().__init__(operator, input_dtype, suffix)
        self.group_size = block_size
        self._double_quant = double_quant
        self._out_features = 0

    def operands(self, weight):
        packed, absmax = torch.ops.torchao.nf4_quantize(weight.dense, self.group_size)
        scales = torch.ops.torchao.nf4_quantize_absmax(absmax) if self._double_quant else (absmax,)
        return [packed, *scales]

    def prepare(self, weight, copies, threads):
        super().prepare(weight, copies, threads)
        self._out_features = weight.shape[0]

    def bind(self, copy, x):
        packed, absmax, *nested = self._copies[copy]
        operator, out_features, block_size = self._operator, self._out_features, self.group_size
        return lambda: operator(x, packed, absmax, out_features, block_size, None, *nested)

    def weight_bytes(self, weight):
        return sum(operand.nbytes for operand in self.operands(weight))

    def dequantized(self, weight):
        packed, absmax, *nested = self.operands(weight)
        return torch.ops.torchao.nf4_dequantize(packed, absmax, weight.shape, self.group_size, torch.float32, *nested)

    def dequantized_key(self):
        return f"nf4 g{self.group_size}{' double' if self._double_quant else ''}"


class Sparse24(Ours):
    """The larger two of each four weights, as they are or rounded to 8 bits with a scale a row."""

    group_size = ROW

    def __init__(self, operator: Operator, value_dtype: torch.dtype, input_dtype: torch.dtype):
        super().__init__(operator, input_dtype, str(value_dtype).removeprefix("torch."))
        self._value_dtype = value_dtype

    def operands(self, weight):
        mask = torch.ops.torchao.sparse24_prune(weight.dense)
        if self._value_dtype.is_floating_point:
            return [*torch.ops.torchao.sparse24_compress(weight.dense.to(self._value_dtype), mask)]
        codes, scale = torch.ops.torchao.int8_quantize(weight.dense * mask)
        return [*torch.ops.torchao.sparse24_compress(codes, mask), scale]

    def weight_bytes(self, weight):
        return sum(operand.nbytes for operand in self.operands(weight))

    def dequantized(self, weight):
        values, bitmask, *scale = self.operands(weight)
        dense = torch.ops.torchao.sparse24_decompress(values, bitmask, weight.shape[1]).float()
        return dense * scale[0].unsqueeze(1) if scale else dense

    def dequantized_key(self):
        return f"sparse24 {self._value_dtype}"


class Fp8(Ours):
    """float8_e4m3fn with a scale a row."""

    group_size = ROW

    def __init__(self, operator: Operator, input_dtype: torch.dtype):
        super().__init__(operator, input_dtype, "row")

    def operands(self, weight):
        return [*torch.ops.torchao.fp8_quantize(weight.dense)]

    def weight_bytes(self, weight):
        return sum(operand.nbytes for operand in self.operands(weight))

    def dequantized(self, weight):
        return torch.ops.torchao.fp8_dequantize(*self.operands(weight))

    def dequantized_key(self):
        return "fp8 row"


class ScaledFp8(Fp8):
    """Both operands are fp8 before the call."""

    def bind(self, copy, x):
        operator, (b, scale_b) = self._operator, self._copies[copy]
        a, scale_a = torch.ops.torchao.fp8_quantize(x)
        return lambda: operator(a, b, scale_a, scale_b)
