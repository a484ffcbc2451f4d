"""torchao::nf4_mm_backward."""

import torch
from torch import Tensor

from ._check import check_activations, check_same_device
from ._nf4 import check_features, check_weight, check_weight_requires_no_grad


def nf4_mm_backward(
    grad_output: Tensor,
    weight_packed: Tensor,
    absmax: Tensor,
    in_features: int,
    block_size: int = 64,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
) -> Tensor:
    """grad_output @ weight: the gradient of `nf4_mm` for x; differentiable in grad_output.

    Its own gradient is `nf4_mm`, so both can be differentiated any number of times. Sums are fp32, and rounded once, to
    grad_output's dtype.

    Args:
        grad_output: [..., N], fp32, fp16 or bf16, any strides.
        weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size: the weight
            [N, K], as `nf4_dequantize` takes it.
        in_features: K.

    Returns:
        [..., K] in grad_output's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: as `nf4_mm`, with `grad_output`
            for x and `in_features` for out_features.
    """
    nested = (absmax_code, nested_absmax, absmax_offset, nested_block_size)
    return torch.ops.torchao.nf4_mm_backward(grad_output, weight_packed, absmax, in_features, block_size, *nested)


@torch.library.register_fake("torchao::nf4_mm_backward")
def _fake(
    grad_output: Tensor,
    weight_packed: Tensor,
    absmax: Tensor,
    in_features: int,
    block_size: int = 64,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
) -> Tensor:
    op = "nf4_mm_backward"
    nested = {"absmax_code": absmax_code, "nested_absmax": nested_absmax, "absmax_offset": absmax_offset}
    check_same_device(op, grad_output=grad_output, weight_packed=weight_packed, absmax=absmax, **nested)
    check_activations(op, grad_output, "grad_output")
    out_features = grad_output.shape[-1]
    check_features(op, "in_features", in_features, out_features)
    check_weight(
        op,
        weight_packed,
        absmax,
        block_size,
        nested_block_size=nested_block_size,
        count=out_features * in_features,
        count_name="N * in_features",
        **nested,
    )
    return grad_output.new_empty((*grad_output.shape[:-1], in_features))


def _setup_context(ctx, inputs, output) -> None:
    grad_output, weight_packed, absmax, _, block_size, *nested, nested_block_size = inputs
    check_weight_requires_no_grad("nf4_mm_backward", absmax, *nested)
    ctx.save_for_backward(weight_packed, absmax, *nested)
    ctx.out_features, ctx.block_size, ctx.nested_block_size = grad_output.shape[-1], block_size, nested_block_size


def _backward(ctx, grad_x: Tensor):
    weight_packed, absmax, *nested = ctx.saved_tensors
    grad = torch.ops.torchao.nf4_mm(
        grad_x, weight_packed, absmax, ctx.out_features, ctx.block_size, None, *nested, ctx.nested_block_size
    )
    return grad, *(None,) * 8


torch.library.register_autograd("torchao::nf4_mm_backward", _backward, setup_context=_setup_context)
