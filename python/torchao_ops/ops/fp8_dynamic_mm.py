"""torchao::fp8_dynamic_mm."""

import torch
from torch import Tensor

from ._fp8 import register_mm


def fp8_dynamic_mm(x: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias with a weight of 8-bit floating-point numbers and activations that are rounded to its dtype on the fly.

    Each row of x is rounded with its own scale, max|row| / 448 (float8_e5m2: 57344) in fp32. A row of x that holds NaN
    or Inf, or whose scale underflows to 0, is not rounded: it gives what `fp8_mm` gives. Where a weight is not finite,
    NaN may take the place of an Inf. Sums are fp32, and rounded once, to x's dtype.

    Differentiable in x and bias as `fp8_mm` is; the rounding of x counts as the identity.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight, weight_scale: the weight [N, K], as `fp8_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: as `fp8_mm`.
    """
    return torch.ops.torchao.fp8_dynamic_mm(x, weight, weight_scale, bias)


register_mm("fp8_dynamic_mm")
