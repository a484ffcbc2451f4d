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

    Algorithms are tried as `sparse24_cusparselt_mm` tries them.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides, on a CUDA device.
        packed: the weight [N, K] as `sparse24_cusparselt_compress` made it of values and bitmask.
        values, bitmask, weight_scale, bias: as for `sparse24_dynamic_mm`. The values are read for what sums cannot say, such as rows of x
            with NaN or Inf.

    Returns:
        [..., N] in x's dtype: with int8 values the bits of `sparse24_dynamic_mm`.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came; or what cuSPARSELt says.
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
