"""The formats of a weight: its tensors as our operators take them, what they weigh, and the matrix that they stand for.

The tensors are made by torch, not by our quantizers: a product is verified on a device although its quantizer may be wrong there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from weights import ROW, Integers, Weight, group_text


class Format(ABC):
    """Each is a frozen dataclass: equal ones have the same tensors, and a weight keeps them under the format."""

    #: The end of a candidate's name.
    name: str

    @abstractmethod
    def arguments(self, weight: Weight) -> tuple:
        """What follows x in a call of a product: tensors, none of them shared with another call's, and numbers."""

    @abstractmethod
    def weight_bytes(self, weight: Weight) -> int:
        """What one product must read."""

    @abstractmethod
    def dequantized(self, weight: Weight) -> torch.Tensor:
        """The [N, K] matrix, exactly, in fp32."""


class Convertible(Format):
    """One whose quantizer and dequantizer are measured, too."""

    #: Its operators are named {family}_quantize and so on.
    family: str

    @abstractmethod
    def quantize(self, dense: torch.Tensor) -> tuple[torch.Tensor, ...]: ...

    @abstractmethod
    def dequantize(self, arguments: tuple, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
        """By our operator, of what `arguments` gave."""


@dataclass(frozen=True)
class Int4(Convertible):
    group_size: int
    symmetric: bool = False  # without zero points

    family = "int4"

    @property
    def name(self) -> str:
        return group_text(self.group_size) + (" symmetric" if self.symmetric else "")

    def integers(self, weight: Weight) -> Integers:
        return weight.integers(4, self.group_size)

    def arguments(self, weight):
        int4 = self.integers(weight)
        zero_point = None if self.symmetric else torch.full_like(int4.scale, 8)
        return int4.packed.clone(), int4.scale.clone(), zero_point, self.group_size

    def weight_bytes(self, weight):
        return self.integers(weight).bytes(2 if self.symmetric else 4)  # a scale, a zero point, of 16 bits each

    def dequantized(self, weight):
        return self.integers(weight).dequantized()

    def quantize(self, dense):
        return torch.ops.torchao.int4_quantize(dense, self.group_size, self.symmetric)

    def dequantize(self, arguments, shape, dtype):
        return torch.ops.torchao.int4_dequantize(*arguments, shape[1], dtype)


@dataclass(frozen=True)
class Int8(Convertible):
    group_size: int = ROW

    family = "int8"

    @property
    def name(self) -> str:
        return group_text(self.group_size)

    def integers(self, weight: Weight) -> Integers:
        return weight.integers(8, self.group_size)

    def arguments(self, weight):
        int8 = self.integers(weight)
        scale = int8.scale.clone()
        return int8.values.clone(), scale.view(-1) if self.group_size == ROW else scale, self.group_size

    def weight_bytes(self, weight):
        return self.integers(weight).bytes(2)

    def dequantized(self, weight):
        return self.integers(weight).dequantized()

    def quantize(self, dense):
        return torch.ops.torchao.int8_quantize(dense, self.group_size)

    def dequantize(self, arguments, shape, dtype):
        return torch.ops.torchao.int8_dequantize(*arguments, dtype)


@dataclass(frozen=True)
class Nf4(Convertible):
    """Blocks of a flattened weight, with fp32 scales, or with 8-bit ones (double quantization)."""

    block_size: int = 64
    double_quant: bool = False

    family = "nf4"
    _NESTED_BLOCK = 256

    @property
    def name(self) -> str:
        return f"g{self.block_size}" + (" double" if self.double_quant else "")

    def _tensors(self, weight: Weight) -> tuple[torch.Tensor, ...]:
        """Packed codes, absmax and, if it is quantized, what that takes."""
        return weight.form(self, lambda: self._make(weight.dense))

    @staticmethod
    def _levels(device: torch.device) -> torch.Tensor:
        """The 16 numbers, as our dequantizer has them on the CPU, where it is tested."""
        codes = torch.arange(16, dtype=torch.uint8)
        packed = codes[0::2] << 4 | codes[1::2]
        return torch.ops.torchao.nf4_dequantize(packed, torch.ones(1), [16], 32, torch.float32).to(device)

    def _make(self, dense: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if dense.numel() % self.block_size:
            raise ValueError(f"{dense.numel()} elements are not whole blocks of {self.block_size}")
        blocks = dense.reshape(-1, self.block_size)
        absmax = blocks.abs().amax(dim=1)
        levels = self._levels(dense.device)
        codes = torch.bucketize(blocks / absmax.unsqueeze(1), (levels[1:] + levels[:-1]) / 2, out_int32=True)
        codes = codes.to(torch.uint8).view(-1)
        packed = codes[0::2] << 4 | codes[1::2]
        if not self.double_quant:
            return packed, absmax
        nested = torch.ops.torchao.nf4_quantize_absmax(absmax.cpu(), self._NESTED_BLOCK)
        return packed, *(tensor.to(dense.device) for tensor in nested)

    def arguments(self, weight):
        packed, absmax, *nested = (tensor.clone() for tensor in self._tensors(weight))
        return packed, absmax, weight.shape[0], self.block_size, None, *nested

    def weight_bytes(self, weight):
        return sum(tensor.nbytes for tensor in self._tensors(weight))

    def dequantized(self, weight):
        packed, absmax, *nested = self._tensors(weight)
        if nested:
            code, nested_absmax, offset = nested
            of_block = nested_absmax.repeat_interleave(self._NESTED_BLOCK)[: absmax.numel()]
            absmax = code[absmax.int()] * of_block + offset
        levels = self._levels(packed.device)
        values = torch.stack([levels[(packed >> 4).int()], levels[(packed & 15).int()]], dim=1)
        return (values.view(-1, self.block_size) * absmax.unsqueeze(1)).view(weight.shape)

    def quantize(self, dense):
        packed, absmax = torch.ops.torchao.nf4_quantize(dense, self.block_size)
        nested = torch.ops.torchao.nf4_quantize_absmax(absmax, self._NESTED_BLOCK) if self.double_quant else (absmax,)
        return packed, *nested

    def dequantize(self, arguments, shape, dtype):
        packed, absmax, _, _, _, *nested = arguments
        return torch.ops.torchao.nf4_dequantize(packed, absmax, shape, self.block_size, dtype, *nested)


@dataclass(frozen=True)
class Sparse24(Format):
    """The larger two of each four weights, as they are in a floating-point type, or as int8 with a scale a row."""

    value_dtype: torch.dtype

    @property
    def name(self) -> str:
        return str(self.value_dtype).removeprefix("torch.")

    def _make(self, weight: Weight) -> tuple[torch.Tensor, torch.Tensor]:
        """The matrix with its zeros, not scaled, and its bit mask."""
        rows, columns = weight.shape
        is_int8 = self.value_dtype == torch.int8
        matrix = weight.integers(8, ROW).values if is_int8 else weight.dense.to(self.value_dtype)
        quads = F.pad(matrix, (0, -columns % 8)).view(rows, -1, 4)
        magnitude, place = quads.float().abs(), torch.arange(4, device=matrix.device)  # int8 has no 128
        larger = torch.zeros_like(quads, dtype=torch.uint8)  # elements before it in the order of magnitude
        for k in range(4):
            other = magnitude[..., k : k + 1]
            larger += (other > magnitude) | ((other == magnitude) & (place > k))
        kept = (larger < 2).view(rows, -1)
        bitmask = (kept.view(rows, -1, 8).to(torch.uint8) << torch.arange(8, device=matrix.device)).sum(dim=2)
        return matrix.masked_fill(~kept[:, :columns], 0), bitmask.to(torch.uint8)

    def _pruned(self, weight: Weight) -> tuple[torch.Tensor, torch.Tensor]:
        return weight.form(("sparse24", self.value_dtype), lambda: self._make(weight))

    def _scale(self, weight: Weight) -> tuple[torch.Tensor, ...]:
        return (weight.integers(8, ROW).scale.clone().view(-1),) if self.value_dtype == torch.int8 else ()

    def pruned(self, weight: Weight) -> torch.Tensor:
        """The matrix with its zeros, not scaled."""
        return self._pruned(weight)[0]

    def compressed(self, weight: Weight) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and bit mask, anew. K is a multiple of 8 in every shape that is measured: no quad is short of elements."""
        matrix, bitmask = self._pruned(weight)
        kept = (bitmask.unsqueeze(2) >> torch.arange(8, device=matrix.device, dtype=torch.uint8) & 1).bool()
        values = torch.masked_select(matrix, kept.view(matrix.shape))
        return values.view(weight.shape[0], -1), bitmask.clone()

    def arguments(self, weight):
        return *self.compressed(weight), *self._scale(weight)

    def weight_bytes(self, weight):
        matrix, bitmask = self._pruned(weight)
        return matrix.nbytes // 2 + bitmask.nbytes + sum(scale.nbytes for scale in self._scale(weight))

    def dequantized(self, weight):
        matrix = self.pruned(weight).float()
        return matrix * self._scale(weight)[0].unsqueeze(1) if self._scale(weight) else matrix


@dataclass(frozen=True)
class CusparseLt(Sparse24):
    """The same in cuSPARSELt's layout; the operator for int8 takes the plain weight as well."""

    def arguments(self, weight):
        values, bitmask = self.compressed(weight)
        packed = torch.ops.torchao.sparse24_cusparselt_compress(values, bitmask, weight.shape[1])
        if self.value_dtype == torch.int8:
            return packed, values, bitmask, *self._scale(weight)
        return packed, weight.shape[0]


def float8(matrix: torch.Tensor, granularity: str) -> tuple[torch.Tensor, torch.Tensor]:
    """float8_e4m3fn numbers and fp32 scales: one for all, one a row, or of tiles, as fp8_quantize's granularities have them."""
    rows, columns = matrix.shape
    row_block, block = {"tensor": (rows, columns), "row": (1, columns), "block": (128, 128), "group": (1, 128)}[
        granularity
    ]
    padded = F.pad(matrix.float(), (0, -columns % block, 0, -rows % row_block))
    tiles = padded.view(padded.shape[0] // row_block, row_block, -1, block)
    scale = tiles.abs().amax(dim=(1, 3)) / torch.finfo(torch.float8_e4m3fn).max
    codes = (tiles / scale[:, None, :, None]).view(padded.shape)[:rows, :columns].to(torch.float8_e4m3fn).contiguous()
    return codes, scale.view({"tensor": (), "row": (rows,)}.get(granularity, scale.shape))


@dataclass(frozen=True)
class Fp8(Convertible):
    """float8_e4m3fn."""

    granularity: str = "row"

    family = "fp8"

    @property
    def name(self) -> str:
        return self.granularity

    def _tensors(self, weight: Weight) -> tuple[torch.Tensor, torch.Tensor]:
        return weight.form(self, lambda: float8(weight.dense, self.granularity))

    def arguments(self, weight):
        return tuple(tensor.clone() for tensor in self._tensors(weight))

    def weight_bytes(self, weight):
        return sum(tensor.nbytes for tensor in self._tensors(weight))

    def dequantized(self, weight):
        codes, scale = self._tensors(weight)
        rows, columns = weight.shape
        if self.granularity == "block":
            scale = scale.repeat_interleave(128, dim=0)[:rows].repeat_interleave(128, dim=1)[:, :columns]
        elif self.granularity == "row":
            scale = scale.unsqueeze(1)
        return codes.float() * scale

    def quantize(self, dense):
        return torch.ops.torchao.fp8_quantize(dense, None, self.granularity)

    def dequantize(self, arguments, shape, dtype):
        return torch.ops.torchao.fp8_dequantize(*arguments, dtype)
