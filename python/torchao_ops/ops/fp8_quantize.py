"""torchao::fp8_quantize."""

import torch
from torch import Tensor

from ._check import ceil_div, check_float_dtype, check_rank
from ._fp8 import BLOCK, check_float8_dtype


def fp8_quantize(input: Tensor, dtype: torch.dtype | None = None, granularity: str = "row") -> tuple[Tensor, Tensor]:
    """Rounds a matrix, a weight or activations, to 8-bit floating-point numbers: w = number * scale.

    In fp32, on the elements that share a scale: scale = max|w| / 448 (float8_e5m2: 57344), rounded to the input's dtype
    first; the number is w / scale rounded half to even, and what is beyond the largest number becomes the largest.
    Zeros, or what is so small that its scale rounds to 0, have scale 0 and dequantize to exact zeros. Where there is a
    NaN or an Inf, the scale is NaN and all that shares it dequantizes to NaN. No gradient.

    Args:
        input: [N, K], fp32, fp16 or bf16, any strides.
        dtype: float8_e4m3fn or float8_e5m2; None means float8_e4m3fn.
        granularity: what shares a scale: "tensor", everything; "row", a row; "block", 128 x 128 elements; "group", 128
            neighbours in a row. Blocks and groups at the edges may be smaller.

    Returns:
        output: [N, K] of `dtype`.
        scale: in the input's dtype; [] for "tensor", [N] for "row", [ceil(N / 128), ceil(K / 128)] for "block",
            [N, ceil(K / 128)] for "group".

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: `input` must be float32, float16
            or bfloat16, and [N, K]; `dtype` must be float8_e4m3fn or float8_e5m2; `granularity` must be tensor, row,
            block or group.
    """
    return torch.ops.torchao.fp8_quantize(input, dtype, granularity)


@torch.library.register_fake("torchao::fp8_quantize")
def _fake(input: Tensor, dtype: torch.dtype | None = None, granularity: str = "row") -> tuple[Tensor, Tensor]:
    op = "fp8_quantize"
    check_float_dtype(op, "input", input.dtype)
    check_rank(op, "input", input, "[N, K]", rank=2)
    dtype = torch.float8_e4m3fn if dtype is None else dtype
    check_float8_dtype(op, "dtype", dtype)
    rows, columns = input.shape
    shapes = {
        "tensor": (),
        "row": (rows,),
        "block": (ceil_div(rows, BLOCK), ceil_div(columns, BLOCK)),
        "group": (rows, ceil_div(columns, BLOCK)),
    }
    torch._check(
        granularity in shapes, lambda: f"{op}: granularity must be tensor, row, block or group, but got {granularity}"
    )
    return input.new_empty(input.shape, dtype=dtype), input.new_empty(shapes[granularity])
