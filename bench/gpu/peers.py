"""What is timed: our operators, and what their users would call instead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from weights import Weight

Call = Callable[[], object]


class Candidate(ABC):
    """One way to compute y = x @ w.T. For each shape `prepare` makes copies of the weight, for each x `bind` gives the call; `release` frees them."""

    name: str
    dtype: torch.dtype  # of x and y
    group_size: int | None = None  # None: a dense weight
    activations = "exact"  # or "int8"
    is_ours = False
    #: Measured for the first shape only: what differs little from another candidate.
    first_shape_only = False

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

    @property
    def weight_key(self) -> tuple:
        """Equal for candidates that multiply by the same matrix."""
        return (self.group_size, None if self.group_size else self.dtype)

    def dequantized(self, weight: Weight) -> torch.Tensor:
        """That matrix, exactly, in fp32."""
        return (
            weight.dense.to(self.dtype).float()
            if self.group_size is None
            else weight.int4(self.group_size).dequantized()
        )

    def release(self) -> None:
        self._copies = []


class Int4(Candidate):
    """A candidate with the int4 weight that all of these share."""

    def __init__(self, group_size: int, dtype: torch.dtype):
        super().__init__()
        self.group_size = group_size
        self.dtype = dtype

    def weight_bytes(self, weight: Weight) -> int:
        rows, columns = weight.shape
        return rows * -(columns // -2) + rows * -(columns // -self.group_size) * self.bytes_per_group()

    def bytes_per_group(self) -> int:
        return 4  # a scale and a zero point of 16 bits


class Ours(Int4):
    is_ours = True

    def __init__(
        self,
        operator: str,
        group_size: int,
        dtype: torch.dtype,
        symmetric: bool = False,
        first_shape_only: bool = False,
    ):
        super().__init__(group_size, dtype)
        self._operator = getattr(torch.ops.torchao, operator)
        self._symmetric = symmetric
        self.first_shape_only = first_shape_only
        self.activations = "int8" if operator == "int4_dynamic_mm" else "exact"
        self.name = " ".join([operator, f"g{group_size}", *(["symmetric"] if symmetric else []), *_dtype_note(dtype)])

    def bytes_per_group(self) -> int:
        return 2 if self._symmetric else 4

    def prepare(self, weight, copies):
        self._copies = [_operands(weight, self.group_size, self._symmetric) for _ in range(copies)]

    def bind(self, copy, x):
        operator, group_size = self._operator, self.group_size
        packed, scale, zero_point = self._copies[copy]
        return lambda: operator(x, packed, scale, zero_point, group_size)


class DequantizeAndLinear(Int4):
    """Two calls: the dense weight anew in every product."""

    def __init__(self, group_size: int, dtype: torch.dtype):
        super().__init__(group_size, dtype)
        self.name = f"dequantize, F.linear g{group_size}"

    def prepare(self, weight, copies):
        self._copies = [_operands(weight, self.group_size, False) for _ in range(copies)]

    def bind(self, copy, x):
        dequantize, group_size = torch.ops.torchao.int4_dequantize, self.group_size
        packed, scale, zero_point = self._copies[copy]
        in_features, dtype = x.shape[1], self.dtype
        return lambda: F.linear(x, dequantize(packed, scale, zero_point, group_size, in_features, dtype))


class Dense(Candidate):
    def __init__(self, dtype: torch.dtype, first_shape_only: bool = False):
        super().__init__()
        self.dtype = dtype
        self.first_shape_only = first_shape_only
        self.name = f"F.linear {str(dtype).removeprefix('torch.')}"

    def weight_bytes(self, weight):
        return weight.dense.numel() * self.dtype.itemsize

    def prepare(self, weight, copies):
        self._copies = [weight.dense.to(self.dtype, copy=True) for _ in range(copies)]

    def bind(self, copy, x):
        dense = self._copies[copy]
        return lambda: F.linear(x, dense)


class TorchInt4Pack(Int4):
    """torch's own, which torchao's Int4WeightOnlyConfig uses on CUDA (tinygemm): bf16 only, K padded to a multiple of 1024 as torchao does it."""

    _INNER_K_TILES = 8
    _K_MULTIPLE = 1024

    def __init__(self, group_size: int):
        super().__init__(group_size, torch.bfloat16)
        self.name = f"torch int4pack g{group_size}"

    def prepare(self, weight, copies):
        int4 = weight.int4(self.group_size)
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
    def __init__(self, group_size: int):
        self.group_size = group_size
        self.name = f"int4_quantize g{group_size}"

    def bytes_moved(self, weight):
        rows, columns = weight.shape
        return rows * (2 * columns - (columns // -2)) + 4 * rows * -(columns // -self.group_size)

    def calls(self, weight, copies):
        quantize, group_size = torch.ops.torchao.int4_quantize, self.group_size
        dense = [weight.dense.bfloat16() for _ in range(copies)]
        return [lambda w=w: quantize(w, group_size, False) for w in dense]

    def problem(self, weight):
        rows = weight.dense[:64].bfloat16().contiguous()
        got = torch.ops.torchao.int4_quantize(rows, self.group_size, False)
        expected = torch.ops.torchao.int4_quantize(rows.cpu(), self.group_size, False)
        return (
            None
            if all(torch.equal(g.cpu(), e) for g, e in zip(got, expected, strict=True))
            else "not what the CPU makes"
        )


class Dequantize(Conversion):
    def __init__(self, group_size: int):
        self.group_size = group_size
        self.name = f"int4_dequantize g{group_size}"

    def bytes_moved(self, weight):
        return Quantize(self.group_size).bytes_moved(weight)  # the other way round

    def calls(self, weight, copies):
        dequantize, group_size, columns = torch.ops.torchao.int4_dequantize, self.group_size, weight.shape[1]
        operands = [_operands(weight, group_size, False) for _ in range(copies)]
        return [lambda o=o: dequantize(*o, group_size, columns, torch.bfloat16) for o in operands]

    def problem(self, weight):
        got = torch.ops.torchao.int4_dequantize(
            *_operands(weight, self.group_size, False), self.group_size, weight.shape[1], torch.bfloat16
        )
        return None if torch.equal(got, weight.int4(self.group_size).dequantized().bfloat16()) else "not the weight"


def _operands(weight: Weight, group_size: int, symmetric: bool):
    int4 = weight.int4(group_size)
    zero_point = None if symmetric else torch.full_like(int4.scale, 8)
    return int4.packed.clone(), int4.scale.clone(), zero_point


def _dtype_note(dtype: torch.dtype) -> list[str]:
    return {torch.bfloat16: [], torch.float16: ["fp16"], torch.float32: ["fp32"]}[dtype]


def candidates() -> list[Candidate]:
    bf16, fp16, fp32 = torch.bfloat16, torch.float16, torch.float32
    return [
        Ours("int4_mm", 128, bf16),
        Ours("int4_dynamic_mm", 128, bf16),
        Ours("int4_mm", 128, bf16, symmetric=True, first_shape_only=True),
        Ours("int4_mm", 32, bf16, first_shape_only=True),
        Ours("int4_mm", 128, fp16, first_shape_only=True),
        Ours("int4_mm", 128, fp32, first_shape_only=True),
        Dense(bf16),
        Dense(fp16, first_shape_only=True),
        Dense(fp32, first_shape_only=True),
        TorchInt4Pack(128),
        DequantizeAndLinear(128, bf16),
    ]


def conversions() -> list[Conversion]:
    return [Quantize(128), Dequantize(128)]
