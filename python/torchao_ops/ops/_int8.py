"""What the int8 operators share: the checks of a quantized weight, and the fake kernel and gradient of both products."""

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


def scale_shape(out_features: int, in_features: int, group_size: int) -> tuple[int, ...]:
    """Of weight_scale; group_size 0 is one scale a row."""
    return (out_features,) if group_size == 0 else (out_features, ceil_div(in_features, group_size))


def check_weight(op: str, weight: Tensor, weight_scale: Tensor, group_size: int, in_features: int | None) -> None:
    """Dtypes and shapes of a weight [N, in_features]; None: whatever size the weight has."""
    check_dtype(op, "weight", weight, torch.int8)
    check_rank(op, "weight", weight, "[N, K]", rank=2)
    if in_features is None:
        in_features = weight.shape[1]
    check_shape(op, "weight", weight, "[N, K]", (weight.shape[0], in_features))
    check_float_dtype(op, "weight_scale", weight_scale.dtype)
    layout = "[N]" if group_size == 0 else "[N, ceil(K / group_size)]"
    check_shape(op, "weight_scale", weight_scale, layout, scale_shape(weight.shape[0], in_features, group_size))


def register_mm(op: str) -> None:
    """Registers the fake kernel and the gradient of `int8_mm` or `int8_dynamic_mm`."""
    torch.library.register_fake(f"torchao::{op}", _mm_fake(op))
    torch.library.register_autograd(f"torchao::{op}", _mm_backward, setup_context=_mm_setup_context(op))


def _mm_fake(op: str):
    def fake(
        x: Tensor, weight: Tensor, weight_scale: Tensor, group_size: int = 0, bias: Tensor | None = None
    ) -> Tensor:
        check_same_device(op, x=x, weight=weight, weight_scale=weight_scale, bias=bias)
        check_activations(op, x)
        check_at_least(op, "group_size", group_size, 0)
        check_weight(op, weight, weight_scale, group_size, x.shape[-1])
        return fake_result(op, x, weight.shape[0], bias)

    return fake


def _mm_setup_context(op: str):
    def setup_context(ctx, inputs, output) -> None:
        _, weight, weight_scale, *rest = inputs
        check_requires_no_grad(op, "weight_scale", weight_scale)
        ctx.save_for_backward(weight, weight_scale)
        # Arguments that the caller leaves out are not among the inputs.
        ctx.group_size = rest[0] if rest else 0

    return setup_context


def _mm_backward(ctx, grad_output: Tensor):
    """Gradients for x and bias; `int8_dynamic_mm` passes through the rounding of x as if it were the identity."""
    grad_x = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = grad_output @ torch.ops.torchao.int8_dequantize(*ctx.saved_tensors, ctx.group_size, grad_output.dtype)
    if any(ctx.needs_input_grad[4:]):
        grad_bias = bias_gradient(grad_output)
    return grad_x, None, None, None, grad_bias
