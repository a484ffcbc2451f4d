"""torchao::sparse24_cusparselt_dynamic_mm."""

import torch
from torch import Tensor

from ._check import check_same_device
from ._mm import check_requires_no_grad, fake_result
from ._sparse24 import check_on_cuda, check_operands, check_packed, mm_backward, mm_setup_context


def sparse24_cusparselt_dynamic_mm(
    x: Tensor, packed: Tensor, values: Tensor, bitmask: Tensor, weight_scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    """`sparse24_dynamic_mm` by cuSPARSELt, which multiplies by no zero: for many rows of x. CUDA only.

    float8_e4m3fn needs compute capability 8.9. Any sizes, algorithms are tried and plans kept, as `sparse24_cusparselt_mm` has
    it. The values are read for what sums cannot say: rows of x that are not rounded, and sums that are not finite. With
    int8 values the result has the bits of `sparse24_dynamic_mm`, which computes where K is above 262144; with
    float8_e4m3fn [nearly](numerics.md#the-24-sparse-operators). Workspace: 32 MiB, the rounded x, and up to 64 MiB of
    sums, or as many as 256 rows of x have. Differentiable as `sparse24_dynamic_mm` is.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides, on a CUDA device.
        packed: the weight [N, K] as `sparse24_cusparselt_compress` made it of values and bitmask.
        values, bitmask, weight_scale, bias: as for `sparse24_dynamic_mm`.

    Returns:
        [..., N] in x's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: those of `sparse24_dynamic_mm`,
            with `packed` before `values` among the devices; then `x must be on a CUDA device, which cuSPARSELt is for,
            but got cpu`, `packed`, and `bias`; what cuSPARSELt says.
    """
    return torch.ops.torchao.sparse24_cusparselt_dynamic_mm(x, packed, values, bitmask, weight_scale, bias)


_OP = "sparse24_cusparselt_dynamic_mm"


@torch.library.register_fake(f"torchao::{_OP}")
def _fake(
    x: Tensor, packed: Tensor, values: Tensor, bitmask: Tensor, weight_scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    check_same_device(_OP, x=x, packed=packed)
    check_operands(_OP, True, x, values, bitmask, weight_scale, bias)
    check_on_cuda(_OP, "x", x)
    check_packed(_OP, packed, values.dtype)
    return fake_result(_OP, x, values.shape[0], bias)


def _setup_context(ctx, inputs, output) -> None:
    x, packed, *rest = inputs
    check_requires_no_grad(_OP, "packed", packed)
    mm_setup_context(_OP)(ctx, (x, *rest), output)


def _backward(ctx, grad_output: Tensor):
    grad_x, *rest = mm_backward(ctx, grad_output)
    return grad_x, None, *rest


torch.library.register_autograd(f"torchao::{_OP}", _backward, setup_context=_setup_context)
