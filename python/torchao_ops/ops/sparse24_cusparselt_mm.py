"""torchao::sparse24_cusparselt_mm."""

import torch
from torch import Tensor

from ._check import (
    check_activations,
    check_at_least,
    check_dtype,
    check_float_dtype,
    check_rank,
    check_same_device,
    check_shape,
)
from ._mm import check_requires_no_grad, fake_result
from ._sparse24 import check_cusparselt_tensor


def sparse24_cusparselt_mm(
    x: Tensor, packed: Tensor, out_features: int, weight_scale: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """x @ weight.T + bias by cuSPARSELt, which multiplies by no zero: for many rows of x. CUDA only, not differentiable.

    The first call with as many rows of x as none before tries cuSPARSELt's algorithms, which takes some milliseconds; calls that are
    captured into a CUDA graph do not try, and take the algorithm that is known.

    Args:
        x: [..., K], fp16 or bf16, any strides, on a CUDA device.
        packed: the weight [out_features, K] as `sparse24_cusparselt_compress` made it, of x's dtype.
        out_features: N.
        weight_scale: [N], fp32, fp16 or bf16, by which the rows of the weight are multiplied.
        bias: [N], fp32, fp16 or bf16; rounded to x's dtype.

    Returns:
        [..., N] in x's dtype. Unlike `sparse24_mm`, it does not promise NaN where Inf in x meets a zero of the weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came; or what cuSPARSELt says.
    """
    return torch.ops.torchao.sparse24_cusparselt_mm(x, packed, out_features, weight_scale, bias)


@torch.library.register_fake("torchao::sparse24_cusparselt_mm")
def _fake(
    x: Tensor, packed: Tensor, out_features: int, weight_scale: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    op = "sparse24_cusparselt_mm"
    check_same_device(op, x=x, packed=packed, weight_scale=weight_scale, bias=bias)
    check_cusparselt_tensor(op, "x", x)
    check_activations(op, x)
    check_at_least(op, "out_features", out_features, 0)
    check_dtype(op, "packed", packed, x.dtype)
    check_rank(op, "packed", packed, "[packed bytes / 2]", rank=1)
    if weight_scale is not None:
        check_float_dtype(op, "weight_scale", weight_scale.dtype)
        check_shape(op, "weight_scale", weight_scale, "[N]", (out_features,))
    return fake_result(op, x, out_features, bias)


def _setup_context(ctx, inputs, output) -> None:
    op = "sparse24_cusparselt_mm"
    x, packed, _, *rest = inputs
    for name, tensor in zip(("x", "packed", "weight_scale", "bias"), (x, packed, *rest), strict=False):
        check_requires_no_grad(op, name, tensor)


def _backward(ctx, grad_output: Tensor):
    raise AssertionError("nothing requires a gradient")


torch.library.register_autograd("torchao::sparse24_cusparselt_mm", _backward, setup_context=_setup_context)
