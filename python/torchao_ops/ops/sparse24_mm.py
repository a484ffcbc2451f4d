"""torchao::sparse24_mm."""

import torch
from torch import Tensor

from ._sparse24 import register_mm


def sparse24_mm(
    x: Tensor, values: Tensor, bitmask: Tensor, weight_scale: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """x @ weight.T + bias with a 2:4 sparse weight and exact activations; differentiable in x and bias.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        values, bitmask: the weight [N, K], as `sparse24_decompress` takes it.
        weight_scale: [N], fp32, fp16 or bf16, by which the rows of the weight are multiplied. Values of int8 and float8_e4m3fn
            need one.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the same weight; NaN and Inf
        in x propagate as there, through the zeros as well.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came. On CUDA, where nobody waits for the
            device, a bitmask that keeps more than two of four elements of a row gives NaN instead.
    """
    return torch.ops.torchao.sparse24_mm(x, values, bitmask, weight_scale, bias)


register_mm("sparse24_mm", dynamic=False)
