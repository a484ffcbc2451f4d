"""torchao::sparse24_dynamic_mm."""

import torch
from torch import Tensor

from ._sparse24 import register_mm


def sparse24_dynamic_mm(
    x: Tensor, values: Tensor, bitmask: Tensor, weight_scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    """x @ weight.T + bias with a 2:4 sparse weight of 8 bits, and activations that are rounded to its type on the fly.

    Each row of x has its own scale, in fp32. With int8 values it is max|row| / 127, and x is rounded as
    `int4_dynamic_mm` rounds it; the integer dot products are exact for K up to 262144. With float8_e4m3fn values it is
    max|row| / 448, and x / scale is rounded to nearest even. A row that holds NaN or Inf, or whose scale underflows to
    0, is not rounded. The sum is rounded once, to x's dtype.

    Differentiable in x and bias as `sparse24_mm` is; the rounding of x counts as the identity.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        values, bitmask: the weight [N, K], as `sparse24_decompress` takes it, of int8 or float8_e4m3fn.
        weight_scale: [N], fp32, fp16 or bf16, by which the rows of the weight are multiplied.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: as `sparse24_mm`, but `values`
            must be int8 or float8_e4m3fn.
    """
    return torch.ops.torchao.sparse24_dynamic_mm(x, values, bitmask, weight_scale, bias)


register_mm("sparse24_dynamic_mm", dynamic=True)
