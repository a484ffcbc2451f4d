"""torchao::int4_mm."""

import torch
from torch import Tensor

from ._int4 import register_mm


def int4_mm(
    x: Tensor,
    weight_packed: Tensor,
    weight_scale: Tensor,
    weight_zero_point: Tensor | None,
    group_size: int,
    bias: Tensor | None = None,
) -> Tensor:
    """x @ weight.T + bias with a weight of 4-bit codes and exact activations; differentiable in x and bias.

    The dtypes of the tensors are independent of each other. Products are accumulated in fp32, bias is added in fp32,
    and the sum is rounded once, to x's dtype. K = 0 gives the bias, or zeros; an empty batch or N = 0 gives an empty
    result.

    The gradient for x is grad @ dequantized weight. A scale or zero point that requires grad is an error.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight_packed, weight_scale, weight_zero_point, group_size: the weight [N, K], as `int4_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the dequantized weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `x`; dtype and
            rank of `x`; `group_size` must be at least 1; dtypes and shapes of the weight's tensors, then of `bias`.

    Example:
        import torch, torchao_ops

        weight, x = torch.randn(1024, 1024, dtype=torch.bfloat16), torch.randn(2, 7, 1024, dtype=torch.bfloat16)
        packed, scale, zero_point = torchao_ops.int4_quantize(weight, group_size=128)
        y = torchao_ops.int4_mm(x, packed, scale, zero_point, group_size=128)  # [2, 7, 1024], bf16
    """
    return torch.ops.torchao.int4_mm(x, weight_packed, weight_scale, weight_zero_point, group_size, bias)


register_mm("int4_mm")
