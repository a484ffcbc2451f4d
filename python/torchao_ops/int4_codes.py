"""Codes of the int4 format in plain torch, for scales and zero points that the operator does not choose."""

import torch
from torch import Tensor

CODE_MAX = 15


def per_column(values: Tensor, group_size: int, in_features: int) -> Tensor:
    """[N, K]: what each group has [N, G], for each of its columns."""
    return values[:, torch.arange(in_features, device=values.device) // group_size]


def rounded_codes(weight: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """The nearest codes, as numbers; where the scale is 0 or NaN, any: they stand for 0 or NaN then."""
    return (weight / scale + zero_point).nan_to_num().round().clamp(0, CODE_MAX)


def pack_nibbles(codes: Tensor) -> Tensor:
    """uint8 [N, ceil(K / 2)] of codes [N, K]."""
    codes = torch.nn.functional.pad(codes.to(torch.uint8), (0, codes.shape[1] % 2))
    # Of transposed codes the result would be, too, and safetensors saves no such rows.
    return (codes[:, 0::2] | codes[:, 1::2] << 4).contiguous()
