"""The weight that every candidate of a benchmark multiplies by.

All int4 candidates get the same codes and the same scales, so that their errors and times are those of one and the same
matrix: symmetric codes (zero point 8) and scales that fp16, bf16 and fp32 all hold exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class Int4:
    """An [N, K] weight as 4-bit codes: w = (code - 8) * scale."""

    codes: torch.Tensor  # uint8 [N, K], 0..15
    scale: torch.Tensor  # bf16 [N, ceil(K / group_size)]
    group_size: int

    @cached_property
    def packed(self) -> torch.Tensor:
        """uint8 [N, ceil(K / 2)], the even element in the low nibble."""
        codes = torch.nn.functional.pad(self.codes, (0, self.codes.shape[1] % 2))
        return codes[:, 0::2] | (codes[:, 1::2] << 4)

    def dequantized(self) -> torch.Tensor:
        """fp32 [N, K], exact: a 4-bit integer times an 8-bit significand."""
        scale = self.scale.float().repeat_interleave(self.group_size, dim=1)[:, : self.codes.shape[1]]
        return (self.codes.float() - 8) * scale


class Weight:
    """A random [N, K] weight of a linear layer, and its quantized forms."""

    def __init__(self, out_features: int, in_features: int, device: str = "cpu"):
        generator = torch.Generator(device).manual_seed(out_features * 31 + in_features)
        self.dense = torch.randn(out_features, in_features, generator=generator, device=device) / in_features**0.5
        self._int4: dict[int, Int4] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K): output features, input features."""
        return self.dense.shape[0], self.dense.shape[1]

    def int4(self, group_size: int) -> Int4:
        """The weight in groups of `group_size` along K, of which the last may be partial."""
        if group_size not in self._int4:
            rows, columns = self.shape
            padded = torch.nn.functional.pad(self.dense, (0, -columns % group_size))
            groups = padded.view(rows, -1, group_size)
            scale = (groups.abs().amax(dim=2) / 7).bfloat16()
            codes = (groups / scale.float().unsqueeze(2)).round().clamp(-8, 7) + 8
            codes = codes.to(torch.uint8).view(rows, -1)[:, :columns].contiguous()
            self._int4[group_size] = Int4(codes, scale, group_size)
        return self._int4[group_size]
