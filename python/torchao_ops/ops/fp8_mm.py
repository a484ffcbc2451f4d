"""torchao::fp8_mm."""

import torch
from torch import Tensor

from ._fp8 import register_mm


def fp8_mm(x: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias with a weight of 8-bit floating-point numbers and exact activations; differentiable in x and bias.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight, weight_scale: the weight [N, K], as `fp8_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the dequantized weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came.
    """
    return torch.ops.torchao.fp8_mm(x, weight, weight_scale, bias)


register_mm("fp8_mm")
