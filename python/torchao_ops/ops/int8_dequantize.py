"""torchao::int8_dequantize."""

import torch
from torch import Tensor

from ._check import check_at_least, check_float_dtype, check_same_device
from ._int8 import check_weight


def int8_dequantize(
    weight: Tensor, weight_scale: Tensor, group_size: int = 0, dtype: torch.dtype | None = None
) -> Tensor:
    """The weight that the codes stand for: code * scale.

    The product is rounded to fp32 and then to `dtype`. With fp16 or bf16 scales it is exact in fp32. No gradient.

    Args:
        weight: int8 [N, K].
        weight_scale: [N] for group_size 0, else [N, ceil(K / group_size)], fp32, fp16 or bf16.
        group_size: how many neighbours in a row share a scale; 0: the whole row.
        dtype: of the result, fp32, fp16 or bf16; None means weight_scale's.

    Returns:
        [N, K].

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `weight`;
            `group_size` must be at least 0; dtypes and shapes of the tensors; `dtype` must be float32, float16 or
            bfloat16.
    """
    return torch.ops.torchao.int8_dequantize(weight, weight_scale, group_size, dtype)


@torch.library.register_fake("torchao::int8_dequantize")
def _fake(weight: Tensor, weight_scale: Tensor, group_size: int = 0, dtype: torch.dtype | None = None) -> Tensor:
    op = "int8_dequantize"
    check_same_device(op, weight=weight, weight_scale=weight_scale)
    check_at_least(op, "group_size", group_size, 0)
    check_weight(op, weight, weight_scale, group_size, in_features=None)
    if dtype is None:
        dtype = weight_scale.dtype
    check_float_dtype(op, "dtype", dtype)
    return weight.new_empty(weight.shape, dtype=dtype)
