"""torchao::sparse24_cusparselt_mm."""

import torch
from torch import Tensor

from ._check import check_activations, check_at_least, check_same_device, dtype_name
from ._mm import check_requires_no_grad, fake_result
from ._sparse24 import check_on_cuda, check_packed


def sparse24_cusparselt_mm(x: Tensor, packed: Tensor, out_features: int, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias by cuSPARSELt, which multiplies by no zero: for many rows of x. CUDA only, not differentiable.

    Any sizes: operands are padded where cuSPARSELt's alignment asks for it (M to a multiple of 8, N and K of 16), and
    then copied. There is no scale: multiply the values by it before they are packed. Sums are fp32, and the result is
    rounded once. Two promises of `sparse24_mm` do not hold: Inf in x that
    meets a zero of the weight may give no NaN, and the algorithm, so the order of a sum, depends on M, and on whether
    the algorithms have been tried: at the first call with these sizes that is not captured into a CUDA graph all are,
    which waits for the device and takes longer. Plans are kept for the life of the process. Workspace: 32
    MiB, and copies of x and of the result where they are padded. An argument that requires grad is an error.

    Args:
        x: [..., K], fp16 or bf16, any strides, on a CUDA device.
        packed: the weight [out_features, K] as `sparse24_cusparselt_compress` made it, of x's dtype.
        out_features: N.
        bias: [N], fp32, fp16 or bf16; rounded to x's dtype.

    Returns:
        [..., N] in x's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `x`; `x must be
            on a CUDA device, which cuSPARSELt is for, but got cpu`; dtype and rank of `x`; `out_features` must be at
            least 0; dtypes and shapes of the tensors; what cuSPARSELt says.
    """
    return torch.ops.torchao.sparse24_cusparselt_mm(x, packed, out_features, bias)


@torch.library.register_fake("torchao::sparse24_cusparselt_mm")
def _fake(x: Tensor, packed: Tensor, out_features: int, bias: Tensor | None = None) -> Tensor:
    op = "sparse24_cusparselt_mm"
    check_same_device(op, x=x, packed=packed, bias=bias)
    check_on_cuda(op, "x", x)
    torch._check(
        x.dtype in (torch.float16, torch.bfloat16),
        lambda: f"{op}: x must be float16 or bfloat16, but got {dtype_name(x.dtype)}",
    )
    check_activations(op, x)
    check_at_least(op, "out_features", out_features, 0)
    check_packed(op, packed, x.dtype)
    return fake_result(op, x, out_features, bias)


def _setup_context(ctx, inputs, output) -> None:
    op = "sparse24_cusparselt_mm"
    x, packed, _, *bias = inputs
    for name, tensor in zip(("x", "packed", "bias"), (x, packed, *bias), strict=False):
        check_requires_no_grad(op, name, tensor)


def _backward(ctx, grad_output: Tensor):
    raise AssertionError("nothing requires a gradient")


torch.library.register_autograd("torchao::sparse24_cusparselt_mm", _backward, setup_context=_setup_context)
