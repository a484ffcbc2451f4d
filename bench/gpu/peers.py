"""What is timed: our operators, and what their users would call instead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from weights import ROW, Weight, group_text

Call = Callable[[], object]
#: int4 has a scale and a zero point of 16 bits, int8 such a scale.
BYTES_PER_GROUP = {4: 4, 8: 2}


class Candidate(ABC):
    """One way to compute y = x @ w.T. For each shape `prepare` makes copies of the weight, for each x `bind` gives the call; `release` frees them."""

    name: str
    dtype: torch.dtype  # of x and y
    activations = "exact"  # or "int8"
    is_ours = False
    #: Measured for the first shape only: what differs little from another candidate.
    first_shape_only = False
    #: Of x, where more would take seconds a call.
    most_rows: int | None = None

    def __init__(self):
        self._copies: list = []

    @abstractmethod
    def weight_bytes(self, weight: Weight) -> int:
        """What one product must read of the weight."""

    @abstractmethod
    def prepare(self, weight: Weight, copies: int) -> None: ...

    @abstractmethod
    def bind(self, copy: int, x: torch.Tensor) -> Call: ...

    @property
    def copies(self) -> int:
        return len(self._copies)

    @abstractmethod
    def weight_key(self) -> tuple:
        """Equal for candidates that multiply by the same matrix."""

    @abstractmethod
    def dequantized(self, weight: Weight) -> torch.Tensor:
        """That matrix, exactly, in fp32."""

    def release(self) -> None:
        self._copies = []


class Quantized(Candidate):
    """A candidate with the int4 or int8 weight that all of these share."""

    def __init__(self, bits: int, group_size: int, dtype: torch.dtype):
        super().__init__()
        self.bits = bits
        self.group_size = group_size
        self.dtype = dtype

    def weight_bytes(self, weight: Weight) -> int:
        return weight.integers(self.bits, self.group_size).bytes(self.bytes_per_group())

    def bytes_per_group(self) -> int:
        return BYTES_PER_GROUP[self.bits]

    def weight_key(self) -> tuple:
        return self.bits, self.group_size

    def dequantized(self, weight: Weight) -> torch.Tensor:
        return weight.integers(self.bits, self.group_size).dequantized()


class Ours(Quantized):
    is_ours = True

    def __init__(
        self,
        operator: str,
        group_size: int,
        dtype: torch.dtype,
        symmetric: bool = False,
        first_shape_only: bool = False,
    ):
        super().__init__(4 if operator.startswith("int4") else 8, group_size, dtype)
        self._operator = getattr(torch.ops.torchao, operator)
        self._symmetric = symmetric
        self.first_shape_only = first_shape_only
        self.activations = "int8" if operator.endswith("_dynamic_mm") else "exact"
        symmetric_note = ["symmetric"] if symmetric else []
        self.name = " ".join([operator, group_text(group_size), *symmetric_note, *_dtype_note(dtype)])

    def bytes_per_group(self) -> int:
        return 2 if self._symmetric else super().bytes_per_group()

    def prepare(self, weight, copies):
        self._copies = [_operands(weight, self.bits, self.group_size, self._symmetric) for _ in range(copies)]

    def bind(self, copy, x):
        operator, operands, group_size = self._operator, self._copies[copy], self.group_size
        return lambda: operator(x, *operands, group_size)


class DequantizeAndLinear(Quantized):
    """Two calls: the dense weight anew in every product."""

    def __init__(self, bits: int, group_size: int, dtype: torch.dtype):
        super().__init__(bits, group_size, dtype)
        self.name = f"dequantize, F.linear {group_text(group_size)}"

    def prepare(self, weight, copies):
        self._copies = [_operands(weight, self.bits, self.group_size) for _ in range(copies)]

    def bind(self, copy, x):
        dequantize = _dequantize(self.bits, self.group_size, x.shape[1], self.dtype)
        operands = self._copies[copy]
        return lambda: F.linear(x, dequantize(*operands))


class Dense(Candidate):
    def __init__(self, dtype: torch.dtype, first_shape_only: bool = False):
        super().__init__()
        self.dtype = dtype
        self.first_shape_only = first_shape_only
        self.name = f"F.linear {str(dtype).removeprefix('torch.')}"

    def weight_bytes(self, weight):
        return weight.dense.numel() * self.dtype.itemsize

    def weight_key(self):
        return "dense", self.dtype

    def dequantized(self, weight):
        return weight.dense.to(self.dtype).float()

    def prepare(self, weight, copies):
        self._copies = [weight.dense.to(self.dtype, copy=True) for _ in range(copies)]

    def bind(self, copy, x):
        dense = self._copies[copy]
        return lambda: F.linear(x, dense)


class TorchInt4Pack(Quantized):
    """torch's own, which torchao's Int4WeightOnlyConfig uses on CUDA (tinygemm): bf16 only, K padded to a multiple of 1024 as torchao does it."""

    _INNER_K_TILES = 8
    _K_MULTIPLE = 1024

    def __init__(self, group_size: int):
        super().__init__(4, group_size, torch.bfloat16)
        self.name = f"torch int4pack g{group_size}"

    def prepare(self, weight, copies):
        int4 = weight.integers(4, self.group_size)
        rows, columns = int4.codes.shape
        if columns % self.group_size:
            raise ValueError(f"K = {columns} is no multiple of the group size {self.group_size}")
        if rows % 8:
            raise ValueError(f"N = {rows} is no multiple of 8")
        padding = -columns % self._K_MULTIPLE if int4.codes.is_cuda else 0
        codes = F.pad(int4.codes, (0, padding), value=8)
        scale = F.pad(int4.scale, (0, padding // self.group_size))
        # It dequantizes to (code - 8) * scale + zero; [K / group_size, N, 2].
        scale_and_zero = torch.stack([scale, torch.zeros_like(scale)], dim=2).transpose(0, 1).contiguous()
        if codes.is_cuda:
            # The even element is the high nibble.
            bytes_ = (codes[:, 0::2] << 4 | codes[:, 1::2]).contiguous()
            packed = torch.ops.aten._convert_weight_to_int4pack(bytes_, self._INNER_K_TILES)
        else:
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), self._INNER_K_TILES)
        self._padding = padding
        self._copies = [(packed.clone(), scale_and_zero.clone()) for _ in range(copies)]

    def bind(self, copy, x):
        product = torch.ops.aten._weight_int4pack_mm if x.is_cuda else torch.ops.aten._weight_int4pack_mm_for_cpu
        packed, scale_and_zero = self._copies[copy]
        group_size, padding = self.group_size, self._padding
        if padding == 0:
            return lambda: product(x, packed, group_size, scale_and_zero)
        return lambda: product(F.pad(x, (0, padding)), packed, group_size, scale_and_zero)


class TorchInt8Pack(Quantized):
    """torch's own with exact activations; on CUDA a thread per element of y, which reads its row of the weight byte by byte."""

    first_shape_only = True
    most_rows = 16

    def __init__(self):
        super().__init__(8, ROW, torch.bfloat16)
        self.name = "torch int8pack row"

    def prepare(self, weight, copies):
        int8 = weight.integers(8, ROW)
        self._copies = [(int8.values.clone(), int8.scale.clone().view(-1)) for _ in range(copies)]

    def bind(self, copy, x):
        product, (values, scale) = torch.ops.aten._weight_int8pack_mm, self._copies[copy]
        return lambda: product(x, values, scale)


class TorchIntMm(Quantized):
    """torch._int_mm, with what a user has to write around it: rows of x rounded to int8 before, scales after."""

    activations = "int8"
    _LEAST_ROWS = 32  # on CUDA it takes no fewer than 17

    def __init__(self):
        super().__init__(8, ROW, torch.bfloat16)
        self.name = "torch _int_mm row"

    def prepare(self, weight, copies):
        int8 = weight.integers(8, ROW)
        self._copies = [(int8.values.clone(), int8.scale.float().view(-1)) for _ in range(copies)]

    def bind(self, copy, x):
        values, scale = self._copies[copy]
        rows = x.shape[0]
        padding = max(0, self._LEAST_ROWS - rows) if x.is_cuda else 0

        def call():
            x_scale = x.abs().amax(dim=1, keepdim=True).float() / 127
            codes = (x / x_scale).round().to(torch.int8)
            if padding:
                codes = F.pad(codes, (0, 0, 0, padding))
            return (torch._int_mm(codes, values.t())[:rows] * x_scale * scale).to(x.dtype)

        return call


class Conversion(ABC):
    """An operator that reads and writes a weight once: how near is it to a copy?"""

    name: str

    @abstractmethod
    def bytes_moved(self, weight: Weight) -> int: ...

    @abstractmethod
    def calls(self, weight: Weight, copies: int) -> list[Call]: ...

    @abstractmethod
    def problem(self, weight: Weight) -> str | None:
        """What is wrong with its result, if something is."""


class Quantize(Conversion):
    def __init__(self, bits: int, group_size: int):
        self._quantize = _quantize(bits, group_size)
        self._bits, self._group_size = bits, group_size
        self.name = f"int{bits}_quantize {group_text(group_size)}"

    def bytes_moved(self, weight):
        return _conversion_bytes(weight, self._bits, self._group_size)

    def calls(self, weight, copies):
        dense = [weight.dense.bfloat16() for _ in range(copies)]
        return [lambda w=w: self._quantize(w) for w in dense]

    def problem(self, weight):
        rows = weight.dense[:64].bfloat16().contiguous()
        got, expected = self._quantize(rows), self._quantize(rows.cpu())
        return (
            None
            if all(torch.equal(g.cpu(), e) for g, e in zip(got, expected, strict=True))
            else "not what the CPU makes"
        )


class Dequantize(Conversion):
    def __init__(self, bits: int, group_size: int):
        self._bits, self._group_size = bits, group_size
        self.name = f"int{bits}_dequantize {group_text(group_size)}"

    def bytes_moved(self, weight):
        return _conversion_bytes(weight, self._bits, self._group_size)

    def _call(self, weight) -> Call:
        operands = _operands(weight, self._bits, self._group_size)
        dequantize = _dequantize(self._bits, self._group_size, weight.shape[1], torch.bfloat16)
        return lambda: dequantize(*operands)

    def calls(self, weight, copies):
        return [self._call(weight) for _ in range(copies)]

    def problem(self, weight):
        expected = weight.integers(self._bits, self._group_size).dequantized().bfloat16()
        return None if torch.equal(self._call(weight)(), expected) else "not the weight"


# How the operators of the two formats are called; symmetric: without zero points.


def _operands(weight: Weight, bits: int, group_size: int, symmetric: bool = False) -> tuple:
    integers = weight.integers(bits, group_size)
    scale = integers.scale.clone()
    if bits == 8:
        return integers.values.clone(), scale.view(-1) if group_size == ROW else scale
    return integers.packed.clone(), scale, None if symmetric else torch.full_like(scale, 8)


def _quantize(bits: int, group_size: int) -> Callable:
    if bits == 8:
        return lambda dense: torch.ops.torchao.int8_quantize(dense, group_size)
    return lambda dense: torch.ops.torchao.int4_quantize(dense, group_size, False)


def _dequantize(bits: int, group_size: int, in_features: int, dtype: torch.dtype) -> Callable:
    if bits == 8:
        return lambda *operands: torch.ops.torchao.int8_dequantize(*operands, group_size, dtype)
    return lambda *operands: torch.ops.torchao.int4_dequantize(*operands, group_size, in_features, dtype)


def _conversion_bytes(weight: Weight, bits: int, group_size: int) -> int:
    return 2 * weight.dense.numel() + weight.integers(bits, group_size).bytes(BYTES_PER_GROUP[bits])


def _dtype_note(dtype: torch.dtype) -> list[str]:
    return {torch.bfloat16: [], torch.float16: ["fp16"], torch.float32: ["fp32"]}[dtype]


def candidates() -> list[Candidate]:
    bf16, fp16, fp32 = torch.bfloat16, torch.float16, torch.float32
    return [
        Ours("int4_mm", 128, bf16),
        Ours("int4_dynamic_mm", 128, bf16),
        Ours("int8_mm", ROW, bf16),
        Ours("int8_dynamic_mm", ROW, bf16),
        Ours("int4_mm", 128, bf16, symmetric=True, first_shape_only=True),
        Ours("int4_mm", 32, bf16, first_shape_only=True),
        Ours("int4_mm", 128, fp16, first_shape_only=True),
        Ours("int4_mm", 128, fp32, first_shape_only=True),
        Ours("int8_mm", 128, bf16, first_shape_only=True),
        Ours("int8_dynamic_mm", 128, bf16, first_shape_only=True),
        Dense(bf16),
        Dense(fp16, first_shape_only=True),
        Dense(fp32, first_shape_only=True),
        TorchInt4Pack(128),
        TorchInt8Pack(),
        TorchIntMm(),
        DequantizeAndLinear(4, 128, bf16),
    ]


def conversions() -> list[Conversion]:
    return [conversion(*weight) for weight in ((4, 128), (8, ROW)) for conversion in (Quantize, Dequantize)]
