"""torchao::sparse24_dynamic_mm."""

import torch
from torch import Tensor

from ._sparse24 import register_mm


def sparse24_dynamic_mm(
    x: Tensor, values: Tensor, bitmask: Tensor, weight_scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    """x @ weight.T + bias with a 2:4 sparse weight of 8 bits, and activations that are rounded to its type on the fly.

    Each row of x is rounded to int8 with the scale max|row| / 127, or to float8_e4m3fn with max|row| / 448. The gradient for x
    passes through the rounding as if it were the identity; bias is differentiable as well.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        values, bitmask: the weight [N, K], as `sparse24_decompress` takes it, of int8 or float8_e4m3fn.
        weight_scale: [N], fp32, fp16 or bf16, by which the rows of the weight are multiplied.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype.

    Raises:
        RuntimeError: as `sparse24_mm`.
    """
    return torch.ops.torchao.sparse24_dynamic_mm(x, values, bitmask, weight_scale, bias)


register_mm("sparse24_dynamic_mm", dynamic=True)
