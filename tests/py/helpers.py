"""Random operands of the operators, what the machine has, and a way to run a script in a Python of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import reference
import torch
import torchao_ops
from torch import Tensor

FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MM_OPERATORS = ("int4_mm", "int4_dynamic_mm")
INT8_MM_OPERATORS = ("int8_mm", "int8_dynamic_mm")
SPARSE24_MM_OPERATORS = ("sparse24_mm", "sparse24_dynamic_mm")
FP8_MM_OPERATORS = ("fp8_mm", "fp8_dynamic_mm")
FLOAT8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)
GRANULARITIES = ("tensor", "row", "block", "group")
DTYPES_OF_8_BITS = (torch.int8, torch.float8_e4m3fn)
SPARSE24_DTYPES = (*FLOAT_DTYPES, *DTYPES_OF_8_BITS)


def why_not_cuda() -> str | None:
    """Why the operators cannot be run on CUDA here; None if they can."""
    if not torchao_ops.capabilities()["cuda_archs"]:
        return "the library was built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    return None


def available_memory(device: str) -> int:
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    with open("/proc/meminfo") as meminfo:
        return next(int(line.split()[1]) << 10 for line in meminfo if line.startswith("MemAvailable"))


def operator(name: str):
    return getattr(torch.ops.torchao, name)


@dataclass(frozen=True)
class Int4Weight:
    """A random int4 weight [N, K] with codes of every value and plausible scales."""

    packed: Tensor
    scale: Tensor
    zero_point: Tensor | None
    group_size: int
    in_features: int

    @staticmethod
    def random(
        out_features: int,
        in_features: int,
        group_size: int,
        scale_dtype: torch.dtype = torch.float32,
        zero_point_dtype: torch.dtype | None = torch.float32,
    ) -> "Int4Weight":
        groups = -(-in_features // group_size)
        packed = torch.randint(0, 256, (out_features, (in_features + 1) // 2), dtype=torch.uint8)
        scale = (torch.rand(out_features, groups) * 0.02 + 0.001).to(scale_dtype)
        zero_point = None
        if zero_point_dtype is not None:
            zero_point = torch.randint(0, 16, (out_features, groups)).to(zero_point_dtype)
        return Int4Weight(packed, scale, zero_point, group_size, in_features)

    @property
    def mm_args(self) -> tuple[Tensor, Tensor, Tensor | None, int]:
        return self.packed, self.scale, self.zero_point, self.group_size

    @property
    def dequantize_args(self) -> tuple[Tensor, Tensor, Tensor | None, int, int]:
        return *self.mm_args, self.in_features

    def exact(self) -> Tensor:
        """The dequantized weight in float64."""
        return reference.dequantize(*self.dequantize_args)

    def to(self, device: str) -> "Int4Weight":
        zero_point = None if self.zero_point is None else self.zero_point.to(device)
        return replace(self, packed=self.packed.to(device), scale=self.scale.to(device), zero_point=zero_point)


@dataclass(frozen=True)
class Int8Weight:
    """A random int8 weight [N, K] with codes of every value, the -128 of other tools among them, and plausible scales."""

    codes: Tensor
    scale: Tensor
    group_size: int

    @staticmethod
    def random(
        out_features: int, in_features: int, group_size: int = 0, scale_dtype: torch.dtype = torch.float32
    ) -> "Int8Weight":
        codes = torch.randint(-128, 128, (out_features, in_features), dtype=torch.int8)
        shape = (out_features,) if group_size == 0 else (out_features, -(-in_features // group_size))
        return Int8Weight(codes, (torch.rand(shape) * 0.001 + 0.0001).to(scale_dtype), group_size)

    @property
    def mm_args(self) -> tuple[Tensor, Tensor, int]:
        return self.codes, self.scale, self.group_size

    def exact(self) -> Tensor:
        """The dequantized weight in float64."""
        return reference.int8_dequantize(*self.mm_args)

    def to(self, device: str) -> "Int8Weight":
        return replace(self, codes=self.codes.to(device), scale=self.scale.to(device))


@dataclass(frozen=True)
class Nf4Weight:
    """A random nf4 weight [N, K] with codes of every value and plausible absmax, plain or doubly quantized."""

    packed: Tensor
    absmax: Tensor
    out_features: int
    in_features: int
    block_size: int
    absmax_code: Tensor | None = None
    nested_absmax: Tensor | None = None
    absmax_offset: Tensor | None = None
    nested_block_size: int = 256

    @staticmethod
    def random(
        out_features: int,
        in_features: int,
        block_size: int = 64,
        absmax_dtype: torch.dtype = torch.float32,
        nested_block_size: int = 256,
    ) -> "Nf4Weight":
        """Doubly quantized where absmax_dtype is uint8; then absmax is 0.0015 to 0.0285."""
        blocks = -(-out_features * in_features // block_size)
        packed = torch.randint(0, 256, ((out_features * in_features + 1) // 2,), dtype=torch.uint8)
        sizes = (out_features, in_features, block_size)
        if absmax_dtype != torch.uint8:
            return Nf4Weight(packed, (torch.rand(blocks) * 0.02 + 0.001).to(absmax_dtype), *sizes)
        absmax = torch.randint(0, 256, (blocks,), dtype=torch.uint8)
        absmax_code = (torch.rand(256) * 2 - 1).sort().values
        nested_absmax = torch.rand(-(-blocks // nested_block_size)) * 0.01 + 0.0035
        return Nf4Weight(packed, absmax, *sizes, absmax_code, nested_absmax, torch.tensor(0.015), nested_block_size)

    @property
    def nested_args(self) -> tuple[Tensor | None, Tensor | None, Tensor | None, int]:
        return self.absmax_code, self.nested_absmax, self.absmax_offset, self.nested_block_size

    def mm_args(self, bias: Tensor | None = None) -> tuple:
        """Those of `nf4_mm` after x."""
        return self.packed, self.absmax, self.out_features, self.block_size, bias, *self.nested_args

    @property
    def backward_args(self) -> tuple:
        """Those of `nf4_mm_backward` after grad_output."""
        return self.packed, self.absmax, self.in_features, self.block_size, *self.nested_args

    def dequantize_args(self, dtype: torch.dtype | None = None) -> tuple:
        shape = [self.out_features, self.in_features]
        return self.packed, self.absmax, shape, self.block_size, dtype, *self.nested_args

    def exact(self) -> Tensor:
        """The dequantized weight in float64."""
        absmax = reference.nf4_absmax(self.absmax, *self.nested_args)
        return reference.nf4_dequantize(self.packed, absmax, (self.out_features, self.in_features), self.block_size)

    def to(self, device: str) -> "Nf4Weight":
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


def fp8_scale_shape(rows: int, columns: int, granularity: str) -> tuple[int, ...]:
    row_blocks, column_blocks = -(-rows // reference.FP8_BLOCK), -(-columns // reference.FP8_BLOCK)
    shapes = {"tensor": (), "row": (rows,), "block": (row_blocks, column_blocks), "group": (rows, column_blocks)}
    return shapes[granularity]


@dataclass(frozen=True)
class Fp8Matrix:
    """A random fp8 matrix [rows, columns] with codes of every finite number, up to about 2 in magnitude."""

    codes: Tensor
    scale: Tensor

    @staticmethod
    def random(
        rows: int,
        columns: int,
        dtype: torch.dtype = torch.float8_e4m3fn,
        granularity: str = "row",
        scale_dtype: torch.dtype = torch.float32,
    ) -> "Fp8Matrix":
        finite = 0x7F if dtype == torch.float8_e4m3fn else 0x7C
        sign = torch.randint(0, 2, (rows, columns), dtype=torch.uint8) << 7
        codes = (torch.randint(0, finite, (rows, columns), dtype=torch.uint8) | sign).view(dtype)
        scale = (torch.rand(fp8_scale_shape(rows, columns, granularity)) + 0.1) * 2 / torch.finfo(dtype).max
        return Fp8Matrix(codes, scale.to(scale_dtype))

    @property
    def args(self) -> tuple[Tensor, Tensor]:
        return self.codes, self.scale

    def exact(self) -> Tensor:
        """The dequantized matrix in float64."""
        return reference.fp8_dequantize(*self.args)

    def to(self, device: str) -> "Fp8Matrix":
        return Fp8Matrix(self.codes.to(device), self.scale.to(device))


@dataclass(frozen=True)
class Sparse24Weight:
    """A random 2:4 sparse weight [N, K]: none, one or two of each quad are kept, of every place; what is beyond K is noise."""

    values: Tensor
    bitmask: Tensor
    scale: Tensor | None
    in_features: int

    @staticmethod
    def random(
        out_features: int,
        in_features: int,
        dtype: torch.dtype = torch.float32,
        scale_dtype: torch.dtype | None = torch.float32,
    ) -> "Sparse24Weight":
        """int8 values are of every code, and scales such that the weight is plausible. scale_dtype None: there are no scales."""
        shape = (out_features, reference.sparse24_value_columns(in_features))
        if dtype == torch.int8:
            values = torch.randint(-128, 128, shape, dtype=torch.int8)
        else:
            values = torch.randn(shape).to(dtype)
        few = torch.tensor([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12], dtype=torch.uint8)
        low, high = (few[torch.randint(0, len(few), (out_features, -(-in_features // 8)))] for _ in range(2))
        bitmask = low | high << 4
        if in_features % 8:
            bitmask[:, -1] |= 0xFF << in_features % 8 & 0xFF
        scale = None
        if scale_dtype is not None:
            largest = 0.001 if dtype == torch.int8 else 0.03
            scale = (largest * (torch.rand(out_features) + 0.1)).to(scale_dtype)
        return Sparse24Weight(values, bitmask, scale, in_features)

    @property
    def mm_args(self) -> tuple[Tensor, Tensor, Tensor | None]:
        return self.values, self.bitmask, self.scale

    @property
    def decompress_args(self) -> tuple[Tensor, Tensor, int]:
        return self.values, self.bitmask, self.in_features

    def exact(self) -> Tensor:
        """The dense weight in float64."""
        weight = reference.sparse24_decompress(*self.decompress_args).double()
        return weight if self.scale is None else weight * self.scale.cpu().double()[:, None]

    def to(self, device: str) -> "Sparse24Weight":
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


def run_python(code: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a fresh interpreter that finds the package these tests run on."""
    package = str(Path(torchao_ops.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": package, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
