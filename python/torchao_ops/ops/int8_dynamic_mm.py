"""torchao::int8_dynamic_mm."""

import torch
from torch import Tensor

from ._int8 import register_mm


def int8_dynamic_mm(
    x: Tensor, weight: Tensor, weight_scale: Tensor, group_size: int = 0, bias: Tensor | None = None
) -> Tensor:
    """x @ weight.T + bias with a weight of 8-bit codes and activations that are rounded to 8 bits on the fly.

    Each row of x has its own scale, max|row| / 127, and is rounded as `int4_dynamic_mm` rounds it. The integer dot
    products are exact on every instruction set: nothing saturates. Scales act on them in fp32; bias is added in fp32;
    the sum is rounded once, to x's dtype. A row of x that holds NaN or Inf, or whose scale underflows to 0, gives what
    `int8_mm` gives.

    Differentiable in x and bias as `int8_mm` is; the rounding of x counts as the identity.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight, weight_scale, group_size: the weight [N, K], as `int8_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: as `int8_mm`.
    """
    return torch.ops.torchao.int8_dynamic_mm(x, weight, weight_scale, group_size, bias)


register_mm("int8_dynamic_mm")
