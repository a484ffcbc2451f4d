"""torchao::nf4_mm."""

import torch
from torch import Tensor

from ._check import check_activations, check_same_device
from ._mm import bias_gradient, fake_result
from ._nf4 import check_features, check_weight, check_weight_requires_no_grad


def nf4_mm(
    x: Tensor,
    weight_packed: Tensor,
    absmax: Tensor,
    out_features: int,
    block_size: int = 64,
    bias: Tensor | None = None,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
) -> Tensor:
    """x @ weight.T + bias with an NF4 weight and exact activations; differentiable in x and bias.

    Accumulation, rounding and empty operands are those of `int4_mm`. Neither the product nor its gradient,
    `nf4_mm_backward`, makes a dense weight: on the CPU they dequantize a tile at a time, on CUDA parts of 64 MiB. A
    tensor of absmax that requires grad is an error.

    Args:
        x: [..., K], fp32, fp16 or bf16, any strides.
        weight_packed, absmax, block_size, absmax_code, nested_absmax, absmax_offset, nested_block_size: the weight
            [N, K], as `nf4_dequantize` takes it.
        out_features: N, which flat bytes do not tell.
        bias: [N], fp32, fp16 or bf16.

    Returns:
        [..., N] in x's dtype. Its error is no larger than that of a dense product in x's dtype with the dequantized weight.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `x`; dtype and
            rank of `x`; `out_features` must be at least 0; the weight as in `nf4_dequantize`; dtype and shape of
            `bias`.

    Example:
        import torch, torchao_ops

        weight, x = torch.randn(1024, 1024, dtype=torch.bfloat16), torch.randn(7, 1024, dtype=torch.bfloat16, requires_grad=True)
        packed, absmax = torchao_ops.nf4_quantize(weight)
        torchao_ops.nf4_mm(x, packed, absmax, out_features=1024).sum().backward()

        codes, *nested = torchao_ops.nf4_quantize_absmax(absmax)  # double quantization
        y = torchao_ops.nf4_mm(x, packed, codes, 1024, 64, None, *nested)
    """
    nested = (absmax_code, nested_absmax, absmax_offset, nested_block_size)
    return torch.ops.torchao.nf4_mm(x, weight_packed, absmax, out_features, block_size, bias, *nested)


@torch.library.register_fake("torchao::nf4_mm")
def _fake(
    x: Tensor,
    weight_packed: Tensor,
    absmax: Tensor,
    out_features: int,
    block_size: int = 64,
    bias: Tensor | None = None,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
) -> Tensor:
    op = "nf4_mm"
    nested = {"absmax_code": absmax_code, "nested_absmax": nested_absmax, "absmax_offset": absmax_offset}
    check_same_device(op, x=x, weight_packed=weight_packed, absmax=absmax, **nested, bias=bias)
    check_activations(op, x)
    check_features(op, "out_features", out_features, x.shape[-1])
    check_weight(
        op,
        weight_packed,
        absmax,
        block_size,
        nested_block_size=nested_block_size,
        count=out_features * x.shape[-1],
        count_name="out_features * K",
        **nested,
    )
    return fake_result(op, x, out_features, bias)


def _setup_context(ctx, inputs, output) -> None:
    x, weight_packed, absmax, _, block_size, _, *nested, nested_block_size = inputs
    check_weight_requires_no_grad("nf4_mm", absmax, *nested)
    ctx.save_for_backward(weight_packed, absmax, *nested)
    ctx.in_features, ctx.block_size, ctx.nested_block_size = x.shape[-1], block_size, nested_block_size


def _backward(ctx, grad_output: Tensor):
    grad_x = grad_bias = None
    if ctx.needs_input_grad[0]:
        weight_packed, absmax, *nested = ctx.saved_tensors
        grad_x = torch.ops.torchao.nf4_mm_backward(
            grad_output, weight_packed, absmax, ctx.in_features, ctx.block_size, *nested, ctx.nested_block_size
        )
    # A bias that the caller leaves out is not among the inputs at all.
    if any(ctx.needs_input_grad[5:6]):
        grad_bias = bias_gradient(grad_output)
    return grad_x, None, None, None, None, grad_bias, None, None, None, None


torch.library.register_autograd("torchao::nf4_mm", _backward, setup_context=_setup_context)
