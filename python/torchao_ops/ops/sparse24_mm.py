"""torchao::sparse24_mm."""

import torch
from torch import Tensor

from ._sparse24 import register_mm


def sparse24_mm(
    x: Tensor, values: Tensor, bitmask: Tensor, weight_scale: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """x @ weight.T + bias with a 2:4 sparse weight and exact activations; differentiable in x and bias.

    The dtypes of the tensors are independent of each other. Accumulation, rounding and empty operands are those of
    `int4_mm`. NaN and Inf in x meet the zeros of the weight as in the dense product, where 0 * Inf is NaN. The gradient
    for x is grad @ decompressed weight; values or a scale that require grad are an error.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        values, bitmask: the weight [N, K], as `sparse24_decompress` takes it.
        weight_scale: [N], fp32, fp16 or bf16, by which the rows of the weight are multiplied. Values of int8 and float8_e4m3fn
            need one.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the same weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `x`; dtype and
            rank of `x`; `values` must be float32, float16, bfloat16, int8 or float8_e4m3fn; `weight_scale must be given
            with int8 values, but got None`; dtypes and shapes of the weight's tensors, then of `bias`; on the CPU, more
            than two of four in `bitmask`, for which CUDA, where nobody waits for the device, gives NaN.

    Example:
        import torch, torchao_ops

        weight, x = torch.randn(1024, 1024, dtype=torch.bfloat16), torch.randn(7, 1024, dtype=torch.bfloat16)
        values, bitmask = torchao_ops.sparse24_compress(weight, torchao_ops.sparse24_prune(weight))
        y = torchao_ops.sparse24_mm(x, values, bitmask)

        codes, scale = torchao_ops.int8_quantize(weight)
        values, bitmask = torchao_ops.sparse24_compress(codes, torchao_ops.sparse24_prune(codes))
        y = torchao_ops.sparse24_mm(x, values, bitmask, scale)
        y = torchao_ops.sparse24_dynamic_mm(x, values, bitmask, scale)
    """
    return torch.ops.torchao.sparse24_mm(x, values, bitmask, weight_scale, bias)


register_mm("sparse24_mm", dynamic=False)
