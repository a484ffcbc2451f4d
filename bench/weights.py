"""The weight that every candidate of a benchmark multiplies by.

All int4 candidates get the same codes and the same scales, and so do all int8 ones, so that their errors and times are those
of one and the same matrix: symmetric codes and scales that fp16, bf16 and fp32 all hold exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch

Form = TypeVar("Form")

#: The group size that stands for one scale a row, as in our operators.
ROW = 0


def group_text(group_size: int) -> str:
    """The end of a candidate's name."""
    return f"g{group_size}" if group_size != ROW else "row"


@dataclass(frozen=True)
class Integers:
    """An [N, K] weight as 4-bit or 8-bit integers: w = value * scale."""

    bits: int
    values: torch.Tensor  # int8 [N, K]
    scale: torch.Tensor  # bf16 [N, ceil(K / group_size)], or [N, 1]
    group_size: int

    @cached_property
    def codes(self) -> torch.Tensor:
        """uint8 [N, K]: the values plus 8 or 128, their zero point."""
        return (self.values.short() + (1 << (self.bits - 1))).to(torch.uint8)

    @cached_property
    def packed(self) -> torch.Tensor:
        """uint8 [N, ceil(K / 2)]: 4-bit codes, the even element in the low nibble."""
        codes = torch.nn.functional.pad(self.codes, (0, self.codes.shape[1] % 2))
        return codes[:, 0::2] | (codes[:, 1::2] << 4)

    def bytes(self, bytes_per_group: int) -> int:
        """Of the values, and of the scale (and zero point) of each group."""
        rows, columns = self.values.shape
        return rows * -(columns * self.bits // -8) + self.scale.numel() * bytes_per_group  # -(a // -b) rounds up

    def dequantized(self) -> torch.Tensor:
        """fp32 [N, K], exact: an 8-bit integer times an 8-bit significand."""
        columns = self.values.shape[1]
        scale = self.scale.float().repeat_interleave(self.group_size or columns, dim=1)[:, :columns]
        return self.values.float() * scale


class Weight:
    """A random [N, K] weight of a linear layer, and its quantized forms."""

    def __init__(self, out_features: int, in_features: int, device: str = "cpu"):
        generator = torch.Generator(device).manual_seed(out_features * 31 + in_features)
        self.dense = torch.randn(out_features, in_features, generator=generator, device=device) / in_features**0.5
        self._forms: dict[Hashable, object] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K): output features, input features."""
        return self.dense.shape[0], self.dense.shape[1]

    def form(self, key: Hashable, make: Callable[[], Form]) -> Form:
        """What `make` gives, made once for each key."""
        if key not in self._forms:
            self._forms[key] = make()
        return self._forms[key]

    def integers(self, bits: int, group_size: int) -> Integers:
        """The weight in groups of `group_size` along K, of which the last may be partial; or in rows."""
        return self.form(("integers", bits, group_size), lambda: self._make_integers(bits, group_size))

    def _make_integers(self, bits: int, group_size: int) -> Integers:
        rows, columns = self.shape
        group, most = group_size or columns, (1 << (bits - 1)) - 1
        padded = torch.nn.functional.pad(self.dense, (0, -columns % group))
        groups = padded.view(rows, -1, group)
        scale = (groups.abs().amax(dim=2) / most).bfloat16()
        values = (groups / scale.float().unsqueeze(2)).round().clamp(-most - 1, most)
        values = values.to(torch.int8).view(rows, -1)[:, :columns].contiguous()
        return Integers(bits, values, scale, group_size)
