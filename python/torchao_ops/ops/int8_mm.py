"""torchao::int8_mm."""

import torch
from torch import Tensor

from ._int8 import register_mm


def int8_mm(x: Tensor, weight: Tensor, weight_scale: Tensor, group_size: int = 0, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias with a weight of 8-bit codes and exact activations; differentiable in x and bias.

    Accumulation, rounding, empty operands and the gradient are those of `int4_mm`.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight, weight_scale, group_size: the weight [N, K], as `int8_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the dequantized weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `x`; dtype and
            rank of `x`; `group_size` must be at least 0; dtypes and shapes of the weight's tensors, then of `bias`.

    Example:
        import torch, torchao_ops

        x = torch.randn(7, 1024, dtype=torch.bfloat16)
        weight, scale = torchao_ops.int8_quantize(torch.randn(1024, 1024, dtype=torch.bfloat16))
        y = torchao_ops.int8_mm(x, weight, scale)
        y = torchao_ops.int8_dynamic_mm(x, weight, scale)
    """
    return torch.ops.torchao.int8_mm(x, weight, weight_scale, group_size, bias)


register_mm("int8_mm")
