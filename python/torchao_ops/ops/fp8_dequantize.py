"""torchao::fp8_dequantize."""

import torch
from torch import Tensor

from ._check import check_float_dtype, check_same_device
from ._fp8 import check_matrix


def fp8_dequantize(input: Tensor, scale: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The matrix that 8-bit numbers and scales stand for: number * scale.

    The product is rounded to fp32 and then to `dtype`. With fp16 or bf16 scales it is exact in fp32. The shape of a
    scale tells its granularity; where two are the same shape, they mean the same. No gradient.

    Args:
        input: float8_e4m3fn or float8_e5m2 [N, K].
        scale: [], [N], [ceil(N / 128), ceil(K / 128)] or [N, ceil(K / 128)], fp32, fp16 or bf16.
        dtype: of the result, fp32, fp16 or bf16; None means the scale's.

    Returns:
        [N, K].

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `input`; `input`
            must be float8_e4m3fn or float8_e5m2; its shape; dtype and shape of `scale`, for example `scale must be [],
            [N], [ceil(N / 128), ceil(K / 128)] or [N, ceil(K / 128)] = [], [140], [2, 2] or [140, 2], but got [150]`;
            `dtype` must be float32, float16 or bfloat16.
    """
    return torch.ops.torchao.fp8_dequantize(input, scale, dtype)


@torch.library.register_fake("torchao::fp8_dequantize")
def _fake(input: Tensor, scale: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    op = "fp8_dequantize"
    check_same_device(op, input=input, scale=scale)
    check_matrix(op, "input", input, "scale", scale)
    dtype = scale.dtype if dtype is None else dtype
    check_float_dtype(op, "dtype", dtype)
    return input.new_empty(input.shape, dtype=dtype)
