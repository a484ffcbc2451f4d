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

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight_packed, weight_scale, weight_zero_point, group_size: the weight [N, K], as `int4_dequantize` takes it.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the dequantized weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came.
    """
    return torch.ops.torchao.int4_mm(x, weight_packed, weight_scale, weight_zero_point, group_size, bias)


register_mm("int4_mm")
