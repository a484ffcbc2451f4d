"""How the two moments of Adam are stored: in fp32, in 8 bits or in 4.

In few bits they are stored in blocks of the flattened tensor, each with a scale, and as roots: sign(m) * |m|^(1/2) and v^(1/4).
Gradients of one block differ by orders of magnitude, and rounded as they are all but the largest would be lost; their roots differ
by fewer. m and sqrt(v), by which m is divided, are of one size, so both are rounded at one resolution.

The second moment divides, so it must not become 0 by rounding: what would is half a step of its block instead. The elements in
question then move less than they should, instead of without bound. It is never negative, so in 4 bits all 16 codes are given
to numbers from 0 on.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


class Moments(ABC):
    @abstractmethod
    def encode(self, first: Tensor, second: Tensor) -> State:
        """What is kept of the moments, fp32 tensors of one shape."""

    @abstractmethod
    def decode(self, state: State, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Fresh tensors of that shape, or those of the state, to be written to."""


class Float32Moments(Moments):
    def encode(self, first: Tensor, second: Tensor) -> State:
        return {"exp_avg": first, "exp_avg_sq": second}

    def decode(self, state: State, shape: torch.Size) -> tuple[Tensor, Tensor]:
        return state["exp_avg"], state["exp_avg_sq"]


class _BlockMoments(Moments):
    block_size: int

    def encode(self, first: Tensor, second: Tensor) -> State:
        first_codes, first_scale = self._round_first(self._blocks(first.sign() * first.abs().sqrt()))
        second_codes, second_scale = self._round_second(self._blocks(second.sqrt().sqrt()))
        return {
            "exp_avg": first_codes,
            "exp_avg_scale": first_scale,
            "exp_avg_sq": second_codes,
            "exp_avg_sq_scale": second_scale,
        }

    def decode(self, state: State, shape: torch.Size) -> tuple[Tensor, Tensor]:
        first = self._first(state["exp_avg"], state["exp_avg_scale"])
        second = self._second(state["exp_avg_sq"], state["exp_avg_sq_scale"])
        second = torch.maximum(second, state["exp_avg_sq_scale"].view(-1, 1) / 2)
        first, second = first * first.abs(), second.square().square()
        return tuple(moment.flatten()[: shape.numel()].view(shape) for moment in (first, second))

    def _blocks(self, values: Tensor) -> Tensor:
        """[blocks, block_size]; the last one is filled with zeros."""
        flat = values.flatten()
        return F.pad(flat, (0, -flat.numel() % self.block_size)).view(-1, self.block_size)

    @abstractmethod
    def _round_first(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and scales."""

    @abstractmethod
    def _round_second(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Of non-negative numbers: codes, and scales that are the step from one number to the next."""

    @abstractmethod
    def _first(self, codes: Tensor, scale: Tensor) -> Tensor: ...

    @abstractmethod
    def _second(self, codes: Tensor, scale: Tensor) -> Tensor: ...


class Int8Moments(_BlockMoments):
    """8.125 bits each."""

    block_size = 256

    def _round_first(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.torchao.int8_quantize(blocks)

    def _round_second(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.torchao.int8_quantize(blocks)

    def _first(self, codes: Tensor, scale: Tensor) -> Tensor:
        return torch.ops.torchao.int8_dequantize(codes, scale)

    def _second(self, codes: Tensor, scale: Tensor) -> Tensor:
        return torch.ops.torchao.int8_dequantize(codes, scale)


class Int4Moments(_BlockMoments):
    """4.25 bits each. The first is symmetric; the zero points of the second are all 0. So neither's are kept.

    Not nf4 for the first: between its two largest numbers, where the roots of large moments are, it has its largest gap.
    """

    block_size = 128

    def _round_first(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        codes, scale, _ = torch.ops.torchao.int4_quantize(blocks, self.block_size, True)
        return codes, scale

    def _round_second(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        codes, scale, _ = torch.ops.torchao.int4_quantize(blocks, self.block_size)
        return codes, scale

    def _first(self, codes: Tensor, scale: Tensor) -> Tensor:
        return torch.ops.torchao.int4_dequantize(codes, scale, None, self.block_size, self.block_size)

    def _second(self, codes: Tensor, scale: Tensor) -> Tensor:
        zero_point = torch.zeros_like(scale)
        return torch.ops.torchao.int4_dequantize(codes, scale, zero_point, self.block_size, self.block_size)
