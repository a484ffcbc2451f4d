"""What the int4 operators share: the checks of a quantized weight, and the fake kernel and gradient of both products."""

import torch
from torch import Tensor

from ._check import (
    ceil_div,
    check_activations,
    check_at_least,
    check_dtype,
    check_float_dtype,
    check_rank,
    check_same_device,
    check_shape,
)
from ._mm import bias_gradient, check_requires_no_grad, fake_result


def check_weight(
    op: str,
    weight_packed: Tensor,
    weight_scale: Tensor,
    weight_zero_point: Tensor | None,
    group_size: int,
    in_features: int,
    in_features_name: str,
) -> None:
    """Dtypes and shapes of a weight [N, in_features]; `in_features_name` is what error messages call its second size."""
    check_dtype(op, "weight_packed", weight_packed, torch.uint8)
    layout = f"[N, ceil({in_features_name} / 2)]"
    check_rank(op, "weight_packed", weight_packed, layout, rank=2)
    out_features = weight_packed.shape[0]
    check_shape(op, "weight_packed", weight_packed, layout, (out_features, ceil_div(in_features, 2)))

    for name, tensor in (("weight_scale", weight_scale), ("weight_zero_point", weight_zero_point)):
        if tensor is not None:
            check_float_dtype(op, name, tensor.dtype)
            groups = ceil_div(in_features, group_size)
            check_shape(op, name, tensor, f"[N, ceil({in_features_name} / group_size)]", (out_features, groups))


def register_mm(op: str) -> None:
    """Registers the fake kernel and the gradient of `int4_mm` or `int4_dynamic_mm`."""
    torch.library.register_fake(f"torchao::{op}", _mm_fake(op))
    torch.library.register_autograd(f"torchao::{op}", _mm_backward, setup_context=_mm_setup_context(op))


def _mm_fake(op: str):
    def fake(
        x: Tensor,
        weight_packed: Tensor,
        weight_scale: Tensor,
        weight_zero_point: Tensor | None,
        group_size: int,
        bias: Tensor | None = None,
    ) -> Tensor:
        check_same_device(
            op,
            x=x,
            weight_packed=weight_packed,
            weight_scale=weight_scale,
            weight_zero_point=weight_zero_point,
            bias=bias,
        )
        check_activations(op, x)
        check_at_least(op, "group_size", group_size, 1)
        check_weight(op, weight_packed, weight_scale, weight_zero_point, group_size, x.shape[-1], "K")
        return fake_result(op, x, weight_packed.shape[0], bias)

    return fake


def _mm_setup_context(op: str):
    def setup_context(ctx, inputs, output) -> None:
        x, weight_packed, weight_scale, weight_zero_point, group_size, _ = inputs
        check_requires_no_grad(op, "weight_scale", weight_scale)
        check_requires_no_grad(op, "weight_zero_point", weight_zero_point)
        ctx.save_for_backward(weight_packed, weight_scale, weight_zero_point)
        ctx.group_size = group_size
        ctx.in_features = x.shape[-1]

    return setup_context


def _mm_backward(ctx, grad_output: Tensor):
    """Gradients for x and bias; `int4_dynamic_mm` passes through the rounding of x as if it were the identity."""
    grad_x = grad_bias = None
    if ctx.needs_input_grad[0]:
        weight = torch.ops.torchao.int4_dequantize(
            *ctx.saved_tensors, ctx.group_size, ctx.in_features, grad_output.dtype
        )
        grad_x = grad_output @ weight
    # A bias that the caller leaves out is not among the inputs at all.
    if any(ctx.needs_input_grad[5:]):
        grad_bias = bias_gradient(grad_output)
    return grad_x, None, None, None, None, grad_bias
