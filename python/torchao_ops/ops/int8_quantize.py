"""torchao::int8_quantize."""

import torch
from torch import Tensor

from ._check import check_at_least, check_float_dtype, check_rank
from ._int8 import scale_shape


def int8_quantize(weight: Tensor, group_size: int = 0) -> tuple[Tensor, Tensor]:
    """Rounds a weight to 8 bits: w = code * scale, with one scale per row, or per row and group.

    In fp32, on the elements of one group of one row: scale = max|w| / 127, rounded to the weight's dtype first; code =
    clamp(round(w / scale), -127, 127), rounding half to even. A group of zeros, or one so small that its scale rounds
    to 0, has scale 0 and dequantizes to exact zeros. A group with a NaN or an Inf has scale NaN and dequantizes to NaN.
    No gradient.

    Args:
        weight: [N, K], fp32, fp16 or bf16, any strides.
        group_size: how many neighbours in a row share a scale; the last group of a row may be shorter, and a group size
            above K is one group. 0: the whole row.

    Returns:
        weight: int8 [N, K], codes from -127 to 127.
        weight_scale: [N] for group_size 0, else [N, ceil(K / group_size)], in the weight's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: `weight` must be float32, float16
            or bfloat16, and [N, K]; `group_size` must be at least 0.
    """
    return torch.ops.torchao.int8_quantize(weight, group_size)


@torch.library.register_fake("torchao::int8_quantize")
def _fake(weight: Tensor, group_size: int = 0) -> tuple[Tensor, Tensor]:
    op = "int8_quantize"
    check_float_dtype(op, "weight", weight.dtype)
    check_rank(op, "weight", weight, "[N, K]", rank=2)
    check_at_least(op, "group_size", group_size, 0)
    return (
        weight.new_empty(weight.shape, dtype=torch.int8),
        weight.new_empty(scale_shape(*weight.shape, group_size)),
    )
