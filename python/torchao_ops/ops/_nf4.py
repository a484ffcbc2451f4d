"""What the nf4 operators share: the checks of a quantized weight."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._check import FLOAT_DTYPES, ceil_div, check_at_least, check_dtype, check_shape, dtype_name
from ._mm import check_requires_no_grad

_LARGEST = 2**63 - 1


def check_block_size(op: str, block_size: int) -> None:
    torch._check(
        block_size >= 32 and block_size & (block_size - 1) == 0,
        lambda: f"{op}: block_size must be a power of two of at least 32, but got {block_size}",
    )


def check_features(op: str, name: str, features: int, others: int) -> None:
    """A weight may have `features` for one of its sizes where it has `others` for the other one."""
    check_at_least(op, name, features, 0)
    if _are_known(features, others):
        most = _LARGEST // max(others, 1)
        torch._check(features <= most, lambda: f"{op}: {name} must be at most {most}, but got {features}")


def check_count(op: str, shape: Sequence[int]) -> None:
    for size in shape:
        torch._check(size >= 0, lambda: f"{op}: shape must have sizes of at least 0, but got {list(shape)}")
    if _are_known(*shape):
        torch._check(
            math.prod(shape) <= _LARGEST,
            lambda: f"{op}: shape must have at most {_LARGEST} elements, but got {list(shape)}",
        )


def check_weight(
    op: str,
    weight_packed: Tensor,
    absmax: Tensor,
    block_size: int,
    absmax_code: Tensor | None,
    nested_absmax: Tensor | None,
    absmax_offset: Tensor | None,
    nested_block_size: int,
    count: int,
    count_name: str,
) -> None:
    """All but the devices of a weight of `count` elements; `count_name` is what error messages call that."""
    check_block_size(op, block_size)
    check_at_least(op, "nested_block_size", nested_block_size, 1)

    check_dtype(op, "weight_packed", weight_packed, torch.uint8)
    layout, shape = f"[ceil({count_name} / 2)", [ceil_div(count, 2)]
    if weight_packed.dim() == 2 and weight_packed.shape[1] == 1:  # bitsandbytes'
        check_shape(op, "weight_packed", weight_packed, f"{layout}, 1]", [*shape, 1])
    else:
        check_shape(op, "weight_packed", weight_packed, f"{layout}]", shape)

    doubly_quantized = absmax.dtype == torch.uint8
    torch._check(
        doubly_quantized or absmax.dtype in FLOAT_DTYPES,
        lambda: f"{op}: absmax must be float32, float16, bfloat16 or uint8, but got {dtype_name(absmax.dtype)}",
    )
    nested = {"absmax_code": absmax_code, "nested_absmax": nested_absmax, "absmax_offset": absmax_offset}
    for name, tensor in nested.items():
        _check_presence(op, name, tensor, doubly_quantized)
    blocks = ceil_div(count, block_size)
    check_shape(op, "absmax", absmax, f"[ceil({count_name} / block_size)]", [blocks])
    if doubly_quantized:
        check_dtype(op, "absmax_code", absmax_code, torch.float32)
        check_shape(op, "absmax_code", absmax_code, "[256]", [256])
        check_dtype(op, "nested_absmax", nested_absmax, torch.float32)
        nested_blocks = ceil_div(blocks, nested_block_size)
        check_shape(op, "nested_absmax", nested_absmax, "[ceil(blocks / nested_block_size)]", [nested_blocks])
        check_dtype(op, "absmax_offset", absmax_offset, torch.float32)
        torch._check(
            list(absmax_offset.shape) in ([], [1]),
            lambda: f"{op}: absmax_offset must be [] or [1], but got {list(absmax_offset.shape)}",
        )


def check_weight_requires_no_grad(
    op: str,
    absmax: Tensor,
    absmax_code: Tensor | None,
    nested_absmax: Tensor | None,
    absmax_offset: Tensor | None,
) -> None:
    check_requires_no_grad(op, "absmax", absmax)
    check_requires_no_grad(op, "absmax_code", absmax_code)
    check_requires_no_grad(op, "nested_absmax", nested_absmax)
    check_requires_no_grad(op, "absmax_offset", absmax_offset)


def _check_presence(op: str, name: str, tensor: Tensor | None, doubly_quantized: bool) -> None:
    if doubly_quantized:
        torch._check(tensor is not None, lambda: f"{op}: {name} must be given with a uint8 absmax, but got None")
    else:
        torch._check(tensor is None, lambda: f"{op}: {name} must be None unless absmax is uint8, but got a tensor")


def _are_known(*sizes: int) -> bool:
    """None is symbolic. Those that are belong to tensors that exist, and are small."""
    return all(isinstance(size, int) for size in sizes)
