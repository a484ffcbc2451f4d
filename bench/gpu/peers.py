"""What is timed: our operators, and what their users would call instead."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from peers.base import Absent
from peers.bitsandbytes_nf4 import BitsandbytesNF4
from weights import Weight

from gpu.formats import Convertible, CusparseLt, Format, Fp8, Int4, Int8, Nf4, Sparse24, float8

Call = Callable[[], object]


class Candidate(ABC):
    """One way to compute y = x @ w.T. For each shape `prepare` makes copies of the weight, for each x `bind` gives the call; `release` frees them.

    The constructor raises Absent, with the reason, where there is no such candidate.
    """

    name: str
    dtype: torch.dtype  # of x and y
    activations = "exact"  # or "int8" or "float8": rounded in the call, or before it
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

    def input(self, x: torch.Tensor):
        """x as `bind` takes it: made once for a number of rows, outside of what is timed."""
        return x.to(self.dtype)

    @abstractmethod
    def bind(self, copy: int, x) -> Call: ...

    @property
    def copies(self) -> int:
        return len(self._copies)

    @abstractmethod
    def weight_key(self) -> object:
        """Equal for candidates that multiply by the same matrix."""

    @abstractmethod
    def dequantized(self, weight: Weight) -> torch.Tensor:
        """That matrix, exactly, in fp32."""

    def release(self) -> None:
        self._copies = []


class Quantized(Candidate):
    """A candidate with the weight in a format that others share."""

    def __init__(self, weight_format: Format, dtype: torch.dtype = torch.bfloat16, first_shape_only: bool = False):
        super().__init__()
        self.format = weight_format
        self.dtype = dtype
        self.first_shape_only = first_shape_only

    def weight_bytes(self, weight):
        return self.format.weight_bytes(weight)

    def weight_key(self):
        return self.format

    def dequantized(self, weight):
        return self.format.dequantized(weight)

    def prepare(self, weight, copies):
        self._copies = [self.format.arguments(weight) for _ in range(copies)]


class Ours(Quantized):
    is_ours = True

    def __init__(
        self,
        operator: str,
        weight_format: Format,
        dtype: torch.dtype = torch.bfloat16,
        first_shape_only: bool = False,
    ):
        super().__init__(weight_format, dtype, first_shape_only)
        self._operator = getattr(torch.ops.torchao, operator)
        if operator.endswith("_dynamic_mm"):
            self.activations = "float8" if isinstance(weight_format, Fp8) else "int8"
        self.name = " ".join([operator, weight_format.name, *_dtype_note(dtype)])

    def bind(self, copy, x):
        operator, arguments = self._operator, self._copies[copy]
        return lambda: operator(x, *arguments)


class OursByCusparseLt(Ours):
    def __init__(self, device: str, operator: str, value_dtype: torch.dtype, first_shape_only: bool = False):
        super().__init__(operator, CusparseLt(value_dtype), first_shape_only=first_shape_only)
        _require_cuda(device, self.name)
        if not json.loads(torch.ops.torchao.capabilities())["cusparselt"]:
            raise Absent(f"{self.name}: the library or the process has no cuSPARSELt")


class OursScaledFp8(Ours):
    """fp8_scaled_mm: x is rounded before."""

    activations = "float8"

    def __init__(self, x_granularity: str, weight_format: Fp8, first_shape_only: bool = False):
        super().__init__("fp8_scaled_mm", weight_format, first_shape_only=first_shape_only)
        self._x_granularity = x_granularity
        if x_granularity != weight_format.granularity:
            self.name = f"fp8_scaled_mm {x_granularity}, {weight_format.granularity}"

    def input(self, x):
        return float8(x, self._x_granularity)

    def bind(self, copy, x):
        operator, (a, scale_a), (b, scale_b) = self._operator, x, self._copies[copy]
        return lambda: operator(a, b, scale_a, scale_b)


class DequantizeAndLinear(Quantized):
    """Two calls: the dense weight anew in every product."""

    format: Convertible

    def __init__(self, weight_format: Convertible):
        super().__init__(weight_format)
        self.name = f"dequantize, F.linear {weight_format.name}"
        self._shape = (0, 0)

    def prepare(self, weight, copies):
        super().prepare(weight, copies)
        self._shape = weight.shape

    def bind(self, copy, x):
        dequantize = partial(self.format.dequantize, self._copies[copy], self._shape, self.dtype)
        return lambda: F.linear(x, dequantize())


class Dense(Candidate):
    def __init__(self, dtype: torch.dtype, first_shape_only: bool = False):
        super().__init__()
        self.dtype = dtype
        self.first_shape_only = first_shape_only
        self.name = f"F.linear {str(dtype).removeprefix('torch.')}"

    def weight_bytes(self, weight):
        return weight.dense.numel() * self.dtype.itemsize

    def weight_key(self):
        return self.dtype

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
        super().__init__(Int4(group_size))
        self.name = f"torch int4pack g{group_size}"

    def prepare(self, weight, copies):
        int4, group_size = self.format.integers(weight), self.format.group_size
        rows, columns = int4.codes.shape
        if columns % group_size:
            raise ValueError(f"K = {columns} is no multiple of the group size {group_size}")
        if rows % 8:
            raise ValueError(f"N = {rows} is no multiple of 8")
        padding = -columns % self._K_MULTIPLE if int4.codes.is_cuda else 0
        codes = F.pad(int4.codes, (0, padding), value=8)
        scale = F.pad(int4.scale, (0, padding // group_size))
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
        group_size, padding = self.format.group_size, self._padding
        if padding == 0:
            return lambda: product(x, packed, group_size, scale_and_zero)
        return lambda: product(F.pad(x, (0, padding)), packed, group_size, scale_and_zero)


class TorchInt8Pack(Quantized):
    """torch's own with exact activations; on CUDA a thread per element of y, which reads its row of the weight byte by byte."""

    most_rows = 16

    def __init__(self):
        super().__init__(Int8(), first_shape_only=True)
        self.name = "torch int8pack row"

    def prepare(self, weight, copies):
        int8 = self.format.integers(weight)
        self._copies = [(int8.values.clone(), int8.scale.clone().view(-1)) for _ in range(copies)]

    def bind(self, copy, x):
        product, (values, scale) = torch.ops.aten._weight_int8pack_mm, self._copies[copy]
        return lambda: product(x, values, scale)


class TorchIntMm(Quantized):
    """torch._int_mm, with what a user has to write around it: rows of x rounded to int8 before, scales after."""

    activations = "int8"
    _LEAST_ROWS = 32  # on CUDA it takes no fewer than 17

    def __init__(self):
        super().__init__(Int8())
        self.name = "torch _int_mm row"

    def prepare(self, weight, copies):
        int8 = self.format.integers(weight)
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


class TorchScaledMm(Quantized):
    """Both operands rounded before; with scales of rows on CUDA only."""

    activations = "float8"

    def __init__(self, device: str, granularity: str, first_shape_only: bool = False):
        super().__init__(Fp8(granularity), first_shape_only=first_shape_only)
        self.name = f"torch _scaled_mm {granularity}"
        if granularity != "tensor":
            _require_cuda(device, self.name)

    def input(self, x):
        a, scale = float8(x, self.format.name)
        return a, scale.unsqueeze(1) if scale.dim() else scale

    def bind(self, copy, x):
        (a, scale_a), (b, scale_b) = x, self._copies[copy]
        scale_b = scale_b.unsqueeze(0) if scale_b.dim() else scale_b
        return lambda: torch._scaled_mm(a, b.t(), scale_a, scale_b, out_dtype=self.dtype)


class TorchSemiStructured(Quantized):
    """torch's own 2:4 tensor, by cuSPARSELt or CUTLASS."""

    def __init__(self, device: str):
        super().__init__(Sparse24(torch.bfloat16))
        self.name = "torch semi-structured bfloat16"
        _require_cuda(device, self.name)

    def prepare(self, weight, copies):
        pruned = self.format.pruned(weight)
        self._copies = [torch.sparse.to_sparse_semi_structured(pruned) for _ in range(copies)]

    def bind(self, copy, x):
        sparse = self._copies[copy]
        return lambda: F.linear(x, sparse)


class BitsandbytesNf4(Candidate):
    """Linear4bit, which the CPU's benchmark makes as its users do."""

    def __init__(self, block_size: int):
        super().__init__()
        self.dtype = torch.bfloat16
        self._peer = BitsandbytesNF4(self.dtype, block_size)
        self.name = self._peer.name

    def weight_bytes(self, weight):
        return self._peer.weight_bytes(weight)

    def weight_key(self):
        return self.name

    def dequantized(self, weight):
        return self._peer.dequantized(weight)

    def prepare(self, weight, copies):
        self._copies = [self._peer.layer(weight) for _ in range(copies)]

    def bind(self, copy, x):
        layer = self._copies[copy]
        return lambda: layer(x)


class Conversion(ABC):
    """An operator that reads and writes a weight once: how near is it to a copy?"""

    name: str
    is_ours = True
    #: As a candidate's.
    first_shape_only = False

    def __init__(self, weight_format: Convertible):
        self.format = weight_format

    def bytes_moved(self, weight: Weight) -> int:
        return 2 * weight.dense.numel() + self.format.weight_bytes(weight)

    @abstractmethod
    def calls(self, weight: Weight, copies: int) -> list[Call]: ...

    @abstractmethod
    def problem(self, weight: Weight) -> str | None:
        """What is wrong with its result, if something is."""


class Quantize(Conversion):
    first_shape_only = True

    def __init__(self, weight_format: Convertible):
        super().__init__(weight_format)
        self.name = f"{weight_format.family}_quantize {weight_format.name}"

    def calls(self, weight, copies):
        return [partial(self.format.quantize, weight.dense.bfloat16()) for _ in range(copies)]

    def problem(self, weight):
        rows = weight.dense[:64].bfloat16().contiguous()
        got, expected = self.format.quantize(rows), self.format.quantize(rows.cpu())
        equal = (same_bits(g.cpu(), e) for g, e in zip(got, expected, strict=True))
        return None if all(equal) else "not what the CPU makes"


class Dequantize(Conversion):
    def __init__(self, weight_format: Convertible, first_shape_only: bool = False):
        super().__init__(weight_format)
        self.first_shape_only = first_shape_only
        self.name = f"{weight_format.family}_dequantize {weight_format.name}"

    def calls(self, weight, copies):
        call = partial(partial, self.format.dequantize, shape=weight.shape, dtype=torch.bfloat16)
        return [call(self.format.arguments(weight)) for _ in range(copies)]

    def problem(self, weight):
        expected = self.format.dequantized(weight).bfloat16()
        return None if torch.equal(self.calls(weight, 1)[0](), expected) else "not the weight"


class BitsandbytesDequantize(Conversion):
    """Of its own codes."""

    is_ours = False

    def __init__(self, weight_format: Nf4):
        super().__init__(weight_format)
        self._peer = BitsandbytesNF4(torch.bfloat16, weight_format.block_size)
        self.name = f"bitsandbytes dequantize_4bit {weight_format.name}"

    def calls(self, weight, copies):
        return [self._peer.dequantizer(weight) for _ in range(copies)]

    def problem(self, weight):
        return None if self.calls(weight, 1)[0]().shape == weight.shape else "another shape"


def _require_cuda(device: str, name: str) -> None:
    if device != "cuda":
        raise Absent(f"{name}: for CUDA only")


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(*(t.reshape(-1).view(torch.uint8) for t in (a, b)))


def _dtype_note(dtype: torch.dtype) -> list[str]:
    return {torch.bfloat16: [], torch.float16: ["fp16"], torch.float32: ["fp32"]}[dtype]


def _constructors(device: str) -> list[Callable[[], Candidate | Conversion]]:
    bf16, fp16, fp32 = torch.bfloat16, torch.float16, torch.float32
    first = {"first_shape_only": True}
    return [
        partial(Ours, "int4_mm", Int4(128)),
        partial(Ours, "int4_dynamic_mm", Int4(128)),
        partial(Ours, "int8_mm", Int8()),
        partial(Ours, "int8_dynamic_mm", Int8()),
        partial(Ours, "nf4_mm", Nf4()),
        partial(Ours, "sparse24_mm", Sparse24(bf16)),
        partial(OursByCusparseLt, device, "sparse24_cusparselt_mm", bf16),
        partial(Ours, "fp8_mm", Fp8()),
        partial(Ours, "fp8_dynamic_mm", Fp8()),
        partial(OursScaledFp8, "row", Fp8()),
        partial(Ours, "int4_mm", Int4(128, symmetric=True), **first),
        partial(Ours, "int4_mm", Int4(32), **first),
        partial(Ours, "int4_mm", Int4(128), fp16, **first),
        partial(Ours, "int4_mm", Int4(128), fp32, **first),
        partial(Ours, "int8_mm", Int8(128), **first),
        partial(Ours, "int8_dynamic_mm", Int8(128), **first),
        partial(Ours, "nf4_mm", Nf4(double_quant=True), **first),
        partial(Ours, "sparse24_dynamic_mm", Sparse24(torch.int8), **first),
        partial(OursByCusparseLt, device, "sparse24_cusparselt_dynamic_mm", torch.int8, **first),
        partial(OursScaledFp8, "tensor", Fp8("tensor"), **first),
        partial(OursScaledFp8, "group", Fp8("block"), **first),
        partial(Dense, bf16),
        partial(Dense, fp16, **first),
        partial(Dense, fp32, **first),
        partial(TorchInt4Pack, 128),
        TorchInt8Pack,
        TorchIntMm,
        partial(TorchScaledMm, device, "tensor"),
        partial(TorchScaledMm, device, "row", **first),
        partial(TorchSemiStructured, device),
        partial(BitsandbytesNf4, 64),
        partial(DequantizeAndLinear, Int4(128)),
        *(partial(Quantize, weight_format) for weight_format in (Int4(128), Int8(), Nf4(), Fp8())),
        *(partial(Dequantize, weight_format) for weight_format in (Int4(128), Int8(), Nf4())),
        partial(Dequantize, Nf4(double_quant=True), **first),
        partial(BitsandbytesDequantize, Nf4()),
    ]


def construct(device: str) -> tuple[list[Candidate], list[Conversion], list[str]]:
    """What can run on "cuda" or "cpu", and a line for each that cannot."""
    found, absent = [], []
    for constructor in _constructors(device):
        try:
            found.append(constructor())
        except Absent as reason:
            absent.append(str(reason))
    candidates = [candidate for candidate in found if isinstance(candidate, Candidate)]
    return candidates, [conversion for conversion in found if isinstance(conversion, Conversion)], absent
