"""torchao::int4_quantize."""

import torch
from torch import Tensor

from ._check import ceil_div, check_at_least, check_float_dtype, check_rank


def int4_quantize(weight: Tensor, group_size: int, symmetric: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Rounds a weight to 4 bits: w = (code - zero_point) * scale, with one scale and zero point per row and group.

    All arithmetic is fp32, on the elements of one group of one row. The scale is rounded to the weight's dtype first;
    the codes are computed with the rounded scale, by division, rounding half to even:

    - asymmetric: lo = min(w, 0), hi = max(w, 0), scale = (hi - lo) / 15, zero_point = clamp(round(-lo / scale), 0, 15)
    - symmetric: scale = max|w| / 7, zero_point = 8
    - code = clamp(round(w / scale) + zero_point, 0, 15)

    A group of zeros has scale 0 and dequantizes to exact zeros; so does a group so small that its scale rounds to 0. A
    group with a NaN or an Inf, or whose hi - lo overflows, has scale NaN and dequantizes to NaN. No gradient.

    Args:
        weight: [N, K], fp32, fp16 or bf16, any strides.
        group_size: how many neighbours in a row share a scale, at least 1; the last group of a row may be shorter, and a
            group size above K is one group.
        symmetric: zero point 8 for every group.

    Returns:
        weight_packed: uint8 [N, ceil(K / 2)], element 2j of a row in the low nibble of byte j.
        weight_scale, weight_zero_point: [N, ceil(K / group_size)], in the weight's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: `weight` must be float32, float16
            or bfloat16, and [N, K]; `group_size` must be at least 1.
    """
    return torch.ops.torchao.int4_quantize(weight, group_size, symmetric)


@torch.library.register_fake("torchao::int4_quantize")
def _fake(weight: Tensor, group_size: int, symmetric: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    op = "int4_quantize"
    check_float_dtype(op, "weight", weight.dtype)
    check_rank(op, "weight", weight, "[N, K]", rank=2)
    check_at_least(op, "group_size", group_size, 1)
    out_features, in_features = weight.shape
    groups = ceil_div(in_features, group_size)
    return (
        weight.new_empty((out_features, ceil_div(in_features, 2)), dtype=torch.uint8),
        weight.new_empty((out_features, groups)),
        weight.new_empty((out_features, groups)),
    )
