"""What the fp8 operators share: the checks of an fp8 matrix, and the fake kernel and gradient of both weight products."""

import torch
from torch import Tensor

from ._check import (
    ceil_div,
    check_activations,
    check_float_dtype,
    check_rank,
    check_same_device,
    check_shape,
    dtype_name,
)
from ._mm import bias_gradient, check_requires_no_grad, fake_result

BLOCK = 128


def check_float8_dtype(op: str, name: str, dtype: torch.dtype) -> None:
    torch._check(
        dtype in (torch.float8_e4m3fn, torch.float8_e5m2),
        lambda: f"{op}: {name} must be float8_e4m3fn or float8_e5m2, but got {dtype_name(dtype)}",
    )


def check_matrix(
    op: str,
    codes_name: str,
    codes: Tensor,
    scale_name: str,
    scale: Tensor,
    rows_name: str = "N",
    in_features: int | None = None,
) -> None:
    """Dtypes and shapes of a matrix [rows, in_features]; None: whatever size the codes have."""
    check_float8_dtype(op, codes_name, codes.dtype)
    layout = f"[{rows_name}, K]"
    check_rank(op, codes_name, codes, layout, rank=2)
    if in_features is None:
        in_features = codes.shape[1]
    rows = codes.shape[0]
    check_shape(op, codes_name, codes, layout, (rows, in_features))
    check_float_dtype(op, scale_name, scale.dtype)
    _check_scale_shape(op, scale_name, scale, rows_name, rows, in_features)


def _check_scale_shape(op: str, name: str, scale: Tensor, rows_name: str, rows: int, columns: int) -> None:
    row_blocks, column_blocks = ceil_div(rows, BLOCK), ceil_div(columns, BLOCK)

    def message() -> str:
        return (
            f"{op}: {name} must be [], [{rows_name}], [ceil({rows_name} / 128), ceil(K / 128)] or [{rows_name}, ceil(K / 128)] = "
            f"[], [{rows}], [{row_blocks}, {column_blocks}] or [{rows}, {column_blocks}], but got {list(scale.shape)}"
        )

    torch._check(scale.dim() <= 2, message)
    if scale.dim() == 1:
        torch._check(scale.shape[0] == rows, message)
    elif scale.dim() == 2:
        torch._check(scale.shape[1] == column_blocks, message)
        if scale.shape[0] != rows:
            torch._check(scale.shape[0] == row_blocks, message)


def register_mm(op: str) -> None:
    """Registers the fake kernel and the gradient of `fp8_mm` or `fp8_dynamic_mm`."""
    torch.library.register_fake(f"torchao::{op}", _mm_fake(op))
    torch.library.register_autograd(f"torchao::{op}", _mm_backward, setup_context=_mm_setup_context(op))


def _mm_fake(op: str):
    def fake(x: Tensor, weight: Tensor, weight_scale: Tensor, bias: Tensor | None = None) -> Tensor:
        check_same_device(op, x=x, weight=weight, weight_scale=weight_scale, bias=bias)
        check_activations(op, x)
        check_matrix(op, "weight", weight, "weight_scale", weight_scale, in_features=x.shape[-1])
        return fake_result(op, x, weight.shape[0], bias)

    return fake


def _mm_setup_context(op: str):
    def setup_context(ctx, inputs, output) -> None:
        _, weight, weight_scale, *_ = inputs
        check_requires_no_grad(op, "weight", weight)
        check_requires_no_grad(op, "weight_scale", weight_scale)
        ctx.save_for_backward(weight, weight_scale)

    return setup_context


def _mm_backward(ctx, grad_output: Tensor):
    """Gradients for x and bias; `fp8_dynamic_mm` passes through the rounding of x as if it were the identity."""
    grad_x = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = grad_output @ torch.ops.torchao.fp8_dequantize(*ctx.saved_tensors, grad_output.dtype)
    if any(ctx.needs_input_grad[3:]):
        grad_bias = bias_gradient(grad_output)
    return grad_x, None, None, grad_bias
