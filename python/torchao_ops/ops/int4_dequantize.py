"""torchao::int4_dequantize."""

import torch
from torch import Tensor

from ._check import check_at_least, check_float_dtype, check_same_device
from ._int4 import check_weight


def int4_dequantize(
    weight_packed: Tensor,
    weight_scale: Tensor,
    weight_zero_point: Tensor | None,
    group_size: int,
    in_features: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The weight that the codes stand for: (code - zero_point) * scale.

    The difference and the product are each rounded to fp32, then to `dtype`. With integer zero points and fp16 or bf16
    scales both steps are exact in fp32, so the only rounding is the last. No gradient.

    Args:
        weight_packed: uint8 [N, ceil(in_features / 2)], element 2j of a row in the low nibble of byte j.
        weight_scale: [N, ceil(in_features / group_size)], fp32, fp16 or bf16.
        weight_zero_point: as weight_scale in shape, of any of the three dtypes; None means 8.
        group_size: how many neighbours in a row share a scale, at least 1.
        in_features: K, which the packed weight alone does not tell when it is odd.
        dtype: of the result, fp32, fp16 or bf16; None means weight_scale's.

    Returns:
        [N, in_features].

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `weight_packed`;
            `group_size` must be at least 1; `in_features` must be at least 0; dtypes and shapes of the tensors; `dtype`
            must be float32, float16 or bfloat16.
    """
    return torch.ops.torchao.int4_dequantize(
        weight_packed, weight_scale, weight_zero_point, group_size, in_features, dtype
    )


@torch.library.register_fake("torchao::int4_dequantize")
def _fake(
    weight_packed: Tensor,
    weight_scale: Tensor,
    weight_zero_point: Tensor | None,
    group_size: int,
    in_features: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    op = "int4_dequantize"
    check_same_device(op, weight_packed=weight_packed, weight_scale=weight_scale, weight_zero_point=weight_zero_point)
    check_at_least(op, "group_size", group_size, 1)
    check_at_least(op, "in_features", in_features, 0)
    check_weight(op, weight_packed, weight_scale, weight_zero_point, group_size, in_features, "in_features")
    if dtype is None:
        dtype = weight_scale.dtype
    check_float_dtype(op, "dtype", dtype)
    return weight_packed.new_empty((weight_packed.shape[0], in_features), dtype=dtype)
