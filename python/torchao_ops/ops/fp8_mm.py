"""torchao::fp8_mm."""

import torch
from torch import Tensor

from ._fp8 import register_mm


def fp8_mm(x: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias with a weight of 8-bit floating-point numbers and exact activations; differentiable in x and bias.

    Accumulation, rounding, empty operands and the gradient are those of `int4_mm`. A NaN or Inf of the weight reaches
    the result as in a dense product. A weight or scale that requires grad is an error.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight, weight_scale: the weight [N, K], as `fp8_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the dequantized weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `x`; dtype and
            rank of `x`; `weight` and `weight_scale` as in `fp8_dequantize`; dtype and shape of `bias`.

    Example:
        import torch, torchao_ops

        x = torch.randn(7, 1024, dtype=torch.bfloat16)
        weight, scale = torchao_ops.fp8_quantize(torch.randn(1024, 1024, dtype=torch.bfloat16), granularity="block")
        y = torchao_ops.fp8_mm(x, weight, scale)
        y = torchao_ops.fp8_dynamic_mm(x, weight, scale)
    """
    return torch.ops.torchao.fp8_mm(x, weight, weight_scale, bias)


register_mm("fp8_mm")
