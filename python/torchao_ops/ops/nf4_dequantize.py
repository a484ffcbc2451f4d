"""torchao::nf4_dequantize."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._check import check_float_dtype, check_same_device, check_shape, dtype_name
from ._nf4 import check_count, check_weight

_OP = "nf4_dequantize"


def nf4_dequantize(
    weight_packed: Tensor,
    absmax: Tensor,
    shape: Sequence[int],
    block_size: int = 64,
    dtype: torch.dtype | None = None,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The weight that the codes stand for: value of a code * absmax.

    The product is rounded to fp32, then to `dtype`. With `out` no memory has to be made, which can take longer than the
    work itself. It may have any strides, and lie in the memory of an operand; where the kernel cannot write there, the
    operator copies. It is not resized. In graphs, the compiler sees a result and a copy to `out`. No gradient.

    Args:
        weight_packed: uint8 [ceil(numel / 2)], or bitsandbytes' [ceil(numel / 2), 1].
        absmax: [ceil(numel / block_size)], fp32, fp16 or bf16; or, doubly quantized, uint8 codes.
        shape: of the weight; numel is its product.
        block_size: how many neighbours in the flattened weight share an absmax: a power of two of at least 32.
        dtype: of the result, fp32, fp16 or bf16; None means out's, or else absmax's, and fp32 where that is uint8.
        absmax_code, nested_absmax, absmax_offset, nested_block_size: of a doubly quantized weight, as `nf4_quantize_absmax`
            makes them: fp32 [256]; fp32 [ceil(blocks / nested_block_size)]; fp32 [] or [1]. Without a uint8 absmax there are
            none.
        out: where the result is to be written, fp32, fp16 or bf16 of this shape and any strides.

    Returns:
        The weight; out, if there is one.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `weight_packed`;
            `shape` must have sizes of at least 0; `block_size` must be a power of two of at least 32;
            `nested_block_size` must be at least 1; the tensors, for example `absmax_code must be given with a uint8
            absmax, but got None`; `dtype`; `out must be shape = [8, 70], but got [560]`; `out must have memory for each
            element, but got an expanded tensor`.
    """
    nested = (absmax_code, nested_absmax, absmax_offset, nested_block_size)
    if out is None:
        return torch.ops.torchao.nf4_dequantize(weight_packed, absmax, shape, block_size, dtype, *nested)
    if dtype not in (None, out.dtype):
        raise RuntimeError(f"{_OP}: dtype must be None or out's {dtype_name(out.dtype)}, but got {dtype_name(dtype)}")
    if out.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(f"{_OP}: out must not require grad, but got requires_grad=True")
    # Without the name, torch tries the other overload first and prints the tensors into an error that nobody sees: 3 ms.
    return torch.ops.torchao.nf4_dequantize.out(weight_packed, absmax, shape, block_size, *nested, out=out)


@torch.library.register_fake("torchao::nf4_dequantize")
def _fake(
    weight_packed: Tensor,
    absmax: Tensor,
    shape: Sequence[int],
    block_size: int = 64,
    dtype: torch.dtype | None = None,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
) -> Tensor:
    nested = {"absmax_code": absmax_code, "nested_absmax": nested_absmax, "absmax_offset": absmax_offset}
    check_same_device(_OP, weight_packed=weight_packed, absmax=absmax, **nested)
    _check_arguments(weight_packed, absmax, shape, block_size, nested_block_size, **nested)
    if dtype is None:
        dtype = torch.float32 if absmax.dtype == torch.uint8 else absmax.dtype
    check_float_dtype(_OP, "dtype", dtype)
    return weight_packed.new_empty(shape, dtype=dtype)


@torch.library.register_fake("torchao::nf4_dequantize.out")
def _fake_out(
    weight_packed: Tensor,
    absmax: Tensor,
    shape: Sequence[int],
    block_size: int = 64,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
    *,
    out: Tensor,
) -> Tensor:
    nested = {"absmax_code": absmax_code, "nested_absmax": nested_absmax, "absmax_offset": absmax_offset}
    check_same_device(_OP, weight_packed=weight_packed, out=out, absmax=absmax, **nested)
    _check_arguments(weight_packed, absmax, shape, block_size, nested_block_size, **nested)
    check_float_dtype(_OP, "out", out.dtype)
    check_shape(_OP, "out", out, "shape", shape)
    for size, stride in zip(out.shape, out.stride(), strict=True):
        torch._check(
            size <= 1 or stride != 0,
            lambda: f"{_OP}: out must have memory for each element, but got an expanded tensor",
        )
    return out


def _functional_out(
    weight_packed: Tensor,
    absmax: Tensor,
    shape: Sequence[int],
    block_size: int = 64,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
    *,
    out: Tensor,
) -> Tensor:
    nested = (absmax_code, nested_absmax, absmax_offset, nested_block_size)
    _fake_out(weight_packed, absmax, shape, block_size, *nested, out=out)
    weight = torch.ops.torchao.nf4_dequantize(weight_packed, absmax, shape, block_size, out.dtype, *nested)
    return out.copy_(weight)


# torch.compile has to know what an operator is without its mutation, and finds that out by itself only where no result is an argument.
_functionalize = torch.library.Library("torchao", "IMPL", "Functionalize")
_functionalize.impl("nf4_dequantize.out", _functional_out)


def _check_arguments(
    weight_packed: Tensor,
    absmax: Tensor,
    shape: Sequence[int],
    block_size: int,
    nested_block_size: int,
    **nested: Tensor | None,
) -> None:
    check_count(_OP, shape)
    check_weight(
        _OP,
        weight_packed,
        absmax,
        block_size,
        nested_block_size=nested_block_size,
        count=math.prod(shape),
        count_name="prod(shape)",
        **nested,
    )
