"""torchao::fp8_scaled_mm."""

import torch
from torch import Tensor

from ._check import check_float_dtype, check_same_device, check_shape
from ._fp8 import check_matrix
from ._mm import bias_gradient, check_requires_no_grad


def fp8_scaled_mm(
    a: Tensor,
    b: Tensor,
    scale_a: Tensor,
    scale_b: Tensor,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """a @ b.T + bias of two matrices of 8-bit floating-point numbers, with fp32 sums. Only bias is differentiable.

    (torch's `_scaled_mm` takes b transposed.) The granularities of a and b are independent of each other. Bias is added
    in fp32, and the sum is rounded once.

    There is no `use_fast_accum`, as torch's `_scaled_mm` has it. With it, tensor cores of 8.9 and 9.0 keep a sum in their
    own registers, which have fewer bits than fp32, from the first product to the last; without it, as here always, what
    they have summed is added to fp32 every few instructions. On CUDA the product is cuBLASLt's in fp8 [where it has
    one](numerics.md#algorithms-and-where-they-change), with zeros around operands whose sizes it does not take.

    Args:
        a: float8_e4m3fn or float8_e5m2 [M, K], any strides.
        b: [N, K]; its dtype may be the other one.
        scale_a, scale_b: as `fp8_dequantize` takes them; their shapes need not be of the same kind.
        bias: [N], fp32, fp16 or bf16.
        out_dtype: fp32, fp16 or bf16; None means bf16.

    Returns:
        [M, N] in `out_dtype`.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `a`; `a` and
            `scale_a`, then `b` and `scale_b`, as in `fp8_dequantize`; `bias`; `out_dtype` must be float32, float16 or
            bfloat16; `a`, `b` and their scales must not require grad.

    Example:
        import torch, torchao_ops

        a, scale_a = torchao_ops.fp8_quantize(torch.randn(7, 1024), granularity="group")
        b, scale_b = torchao_ops.fp8_quantize(torch.randn(1024, 1024), granularity="row")
        y = torchao_ops.fp8_scaled_mm(a, b, scale_a, scale_b)  # [7, 1024], bf16
    """
    return torch.ops.torchao.fp8_scaled_mm(a, b, scale_a, scale_b, bias, out_dtype)


@torch.library.register_fake("torchao::fp8_scaled_mm")
def _fake(
    a: Tensor,
    b: Tensor,
    scale_a: Tensor,
    scale_b: Tensor,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    op = "fp8_scaled_mm"
    check_same_device(op, a=a, b=b, scale_a=scale_a, scale_b=scale_b, bias=bias)
    check_matrix(op, "a", a, "scale_a", scale_a, "M")
    check_matrix(op, "b", b, "scale_b", scale_b, "N", a.shape[1])
    if bias is not None:
        check_float_dtype(op, "bias", bias.dtype)
        check_shape(op, "bias", bias, "[N]", (b.shape[0],))
    out_dtype = torch.bfloat16 if out_dtype is None else out_dtype
    check_float_dtype(op, "out_dtype", out_dtype)
    return a.new_empty((a.shape[0], b.shape[0]), dtype=out_dtype)


def _setup_context(ctx, inputs, output) -> None:
    for name, tensor in zip(("a", "b", "scale_a", "scale_b"), inputs, strict=False):
        check_requires_no_grad("fp8_scaled_mm", name, tensor)


def _backward(ctx, grad_output: Tensor):
    grad_bias = bias_gradient(grad_output) if any(ctx.needs_input_grad[4:5]) else None
    return None, None, None, None, grad_bias, None


torch.library.register_autograd("torchao::fp8_scaled_mm", _backward, setup_context=_setup_context)
