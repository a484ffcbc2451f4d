"""What the products share, whatever the weight's format: the end of their fake kernels, and pieces of their gradients."""

import torch
from torch import Tensor

from ._check import check_float_dtype, check_shape


def fake_result(op: str, x: Tensor, out_features: int, bias: Tensor | None) -> Tensor:
    """Checks the bias and makes y [..., out_features] in x's dtype."""
    if bias is not None:
        check_float_dtype(op, "bias", bias.dtype)
        check_shape(op, "bias", bias, "[N]", (out_features,))
    return x.new_empty((*x.shape[:-1], out_features))


def check_requires_no_grad(op: str, name: str, tensor: Tensor | None) -> None:
    """There is no gradient for it; None would let a training run go on as if there were."""
    torch._check(
        tensor is None or not tensor.requires_grad,
        lambda: f"{op}: {name} must not require grad, but got requires_grad=True",
    )


def bias_gradient(grad_output: Tensor) -> Tensor:
    """Summed in float32; autograd casts it to the bias's dtype."""
    return grad_output.float().sum_to_size(grad_output.shape[-1])
