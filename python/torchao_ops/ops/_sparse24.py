"""What the 2:4 sparse operators share: the checks of a weight, and the fake kernel and gradient of both products.

That a bitmask keeps at most two of each four elements, a fake kernel, which sees no numbers, cannot check.
"""

import torch
from torch import Tensor

from ._check import (
    FLOAT_DTYPES,
    ceil_div,
    check_activations,
    check_dtype,
    check_float_dtype,
    check_rank,
    check_same_device,
    check_shape,
    dtype_name,
)
from ._mm import bias_gradient, check_requires_no_grad, fake_result

_8_BIT_DTYPES = (torch.int8, torch.float8_e4m3fn)


def value_columns(in_features: int) -> int:
    return 2 * ceil_div(in_features, 4)


def bitmask_columns(in_features: int) -> int:
    return ceil_div(in_features, 8)


def check_values_dtype(op: str, name: str, dtype: torch.dtype) -> None:
    torch._check(
        dtype in (*FLOAT_DTYPES, *_8_BIT_DTYPES),
        lambda: f"{op}: {name} must be float32, float16, bfloat16, int8 or float8_e4m3fn, but got {dtype_name(dtype)}",
    )


def check_on_cuda(op: str, name: str, tensor: Tensor) -> None:
    torch._check(
        tensor.device.type == "cuda",
        lambda: f"{op}: {name} must be on a CUDA device, which cuSPARSELt is for, but got {tensor.device}",
    )


def check_packed(op: str, packed: Tensor, dtype: torch.dtype) -> None:
    """A weight in cuSPARSELt's layout, whose size only cuSPARSELt knows."""
    check_dtype(op, "packed", packed, dtype)
    check_rank(op, "packed", packed, "[packed bytes]" if dtype in _8_BIT_DTYPES else "[packed bytes / 2]", rank=1)


def check_weight(op: str, values: Tensor, bitmask: Tensor, weight_scale: Tensor | None, in_features: int) -> None:
    """Shapes of a weight [N, in_features], and dtypes but for the values'."""
    check_rank(op, "values", values, "[N, 2 * ceil(K / 4)]", rank=2)
    out_features = values.shape[0]
    check_shape(op, "values", values, "[N, 2 * ceil(K / 4)]", (out_features, value_columns(in_features)))
    check_dtype(op, "bitmask", bitmask, torch.uint8)
    check_shape(op, "bitmask", bitmask, "[N, ceil(K / 8)]", (out_features, bitmask_columns(in_features)))
    if weight_scale is not None:
        check_float_dtype(op, "weight_scale", weight_scale.dtype)
        check_shape(op, "weight_scale", weight_scale, "[N]", (out_features,))


def register_mm(op: str, dynamic: bool) -> None:
    """Registers the fake kernel and the gradient of `sparse24_mm` or `sparse24_dynamic_mm`."""

    @torch.library.register_fake(f"torchao::{op}")
    def fake(
        x: Tensor, values: Tensor, bitmask: Tensor, weight_scale: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        check_operands(op, dynamic, x, values, bitmask, weight_scale, bias)
        return fake_result(op, x, values.shape[0], bias)

    torch.library.register_autograd(f"torchao::{op}", mm_backward, setup_context=mm_setup_context(op))


def check_operands(
    op: str,
    dynamic: bool,
    x: Tensor,
    values: Tensor,
    bitmask: Tensor,
    weight_scale: Tensor | None,
    bias: Tensor | None,
) -> None:
    """Of the products, and of bias its device only."""
    check_same_device(op, x=x, values=values, bitmask=bitmask, weight_scale=weight_scale, bias=bias)
    check_activations(op, x)
    has_8_bits = values.dtype in _8_BIT_DTYPES
    torch._check(
        has_8_bits or not dynamic,
        lambda: f"{op}: values must be int8 or float8_e4m3fn, but got {dtype_name(values.dtype)}",
    )
    check_values_dtype(op, "values", values.dtype)
    torch._check(
        weight_scale is not None or not has_8_bits,
        lambda: f"{op}: weight_scale must be given with {dtype_name(values.dtype)} values, but got None",
    )
    check_weight(op, values, bitmask, weight_scale, x.shape[-1])


def mm_setup_context(op: str):
    def setup_context(ctx, inputs, output) -> None:
        # Arguments that the caller leaves out are not among the inputs.
        x, values, bitmask, *rest = inputs
        weight_scale = rest[0] if rest else None
        check_requires_no_grad(op, "values", values)
        check_requires_no_grad(op, "weight_scale", weight_scale)
        ctx.save_for_backward(values, bitmask, weight_scale)
        ctx.in_features = x.shape[-1]

    return setup_context


def mm_backward(ctx, grad_output: Tensor):
    """Gradients for x and bias; `sparse24_dynamic_mm` passes through the rounding of x as if it were the identity."""
    grad_x = grad_bias = None
    if ctx.needs_input_grad[0]:
        values, bitmask, weight_scale = ctx.saved_tensors
        weight = torch.ops.torchao.sparse24_decompress(values, bitmask, ctx.in_features)
        if weight_scale is not None:
            weight = weight.float() * weight_scale.float()[:, None]
        grad_x = grad_output @ weight.to(grad_output.dtype)
    if any(ctx.needs_input_grad[4:]):
        grad_bias = bias_gradient(grad_output)
    return grad_x, None, None, None, grad_bias
