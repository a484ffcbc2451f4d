"""torchao::int4_dynamic_mm."""

import torch
from torch import Tensor

from ._int4 import register_mm


def int4_dynamic_mm(
    x: Tensor,
    weight_packed: Tensor,
    weight_scale: Tensor,
    weight_zero_point: Tensor | None,
    group_size: int,
    bias: Tensor | None = None,
) -> Tensor:
    """x @ weight.T + bias with a weight of 4-bit codes and activations that are rounded to 8 bits on the fly.

    Each row of x has its own scale, max|row| / 127 in fp32, and q = clamp(round_half_even(x / scale), -127, 127). The
    integer dot products of q and the codes are exact. Scales and zero points act on them in fp32; bias is added in
    fp32; the sum is rounded once, to x's dtype. A row of x that holds NaN or Inf, or whose scale underflows to 0, is
    not quantized: it gives what `int4_mm` gives, and the other rows are as they would be without it.

    Differentiable in x and bias as `int4_mm` is; the rounding of x counts as the identity.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight_packed, weight_scale, weight_zero_point, group_size: the weight [N, K], as `int4_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: as `int4_mm`.

    Example:
        import torch, torchao_ops

        packed, scale, zero_point = torchao_ops.int4_quantize(torch.randn(1024, 1024), group_size=32, symmetric=True)
        y = torchao_ops.int4_dynamic_mm(torch.randn(7, 1024), packed, scale, zero_point, group_size=32)
    """
    return torch.ops.torchao.int4_dynamic_mm(x, weight_packed, weight_scale, weight_zero_point, group_size, bias)


register_mm("int4_dynamic_mm")
