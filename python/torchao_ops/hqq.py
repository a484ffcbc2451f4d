"""Half-quadratic quantization of int4 weights: zero points that fit the weight better, found without any data.

Badri and Shaji, Half-Quadratic Quantization of Large Machine Learning Models, 2023 (https://mobiusml.github.io/hqq_blog).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .int4_codes import CODE_MAX, pack_nibbles, per_column, rounded_codes

_ITERATIONS = 20
# What is minimized is the sum of |error|^_NORM: below 1, a few large errors do not move the zero point of the others.
_NORM = 0.7
# Of the distance from what that norm lets stand to the error itself; in units of the scale.
_PENALTY = 10.0
_PENALTY_GROWTH = 1.01
# Several temporaries of this many numbers are alive at a time.
_NUMBERS_AT_A_TIME = 1 << 22


@torch.no_grad()
def int4_quantize_hqq(weight: Tensor, group_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `int4_quantize`, with its scales, but with fractional zero points that minimize the errors of each group.

    In units of the scale, a group's sum of |error|^0.7 is at most what the zero point of `int4_quantize` gives. A zero is not exactly 0
    any more, but in a group of zeros.
    """
    _, scale, zero_point = torch.ops.torchao.int4_quantize(weight, group_size)
    rows = max(_NUMBERS_AT_A_TIME // max(weight.shape[1], 1), 1)
    parts = [
        _quantize(*part, group_size)
        for part in zip(weight.split(rows), scale.split(rows), zero_point.split(rows), strict=True)
    ]
    packed, zero_point = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return packed, scale, zero_point


def _quantize(weight: Tensor, scale: Tensor, zero_point: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """weight_packed, and the better weight_zero_point."""
    in_features, dtype = weight.shape[1], zero_point.dtype
    group_size = min(group_size, max(in_features, 1))
    padding = scale.shape[1] * group_size - in_features
    column_scale = per_column(scale.float(), group_size, in_features)

    def grouped(columns: Tensor) -> Tensor:
        return F.pad(columns, (0, padding)).unflatten(-1, (-1, group_size))

    w = grouped(weight.float() / column_scale)
    valid = grouped(weight.new_ones(in_features, dtype=torch.float32))
    count = valid.sum(-1, keepdim=True)
    z = best = zero_point.float().unsqueeze(-1)
    least = torch.full_like(z, torch.inf)
    penalty = _PENALTY
    for _ in range(_ITERATIONS):
        codes = (w + z).round().clamp(0, CODE_MAX)
        error = w - (codes - z)
        size = error.abs().clamp(min=torch.finfo(torch.float32).tiny)
        slope = size ** (_NORM - 1)
        loss = (size * slope * valid).sum(-1, keepdim=True)
        best, least = torch.where(loss < least, z, best), torch.minimum(loss, least)
        stands = error.sign() * (size - slope / penalty).relu()
        # Rounded as it is stored, so that the codes are chosen for what is stored.
        z = (((codes - w + stands) * valid).sum(-1, keepdim=True) / count).to(dtype).float()
        penalty *= _PENALTY_GROWTH
    zero_point = best.squeeze(-1)
    codes = rounded_codes(weight.float(), column_scale, per_column(zero_point, group_size, in_features))
    return pack_nibbles(codes), zero_point.to(dtype)
