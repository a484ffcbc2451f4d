"""Argument checks of the fake kernels.

The C++ operator layer checks the same things in the same order and prints the same sentences, so that a bad call fails
the same way in eager mode, on the meta device and while a graph is captured:

    {op}: {argument} must {requirement}, but got {what came}

Sizes may be symbolic. `torch._check` raises RuntimeError, and turns a condition that is not known yet into a guard.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def ceil_div(dividend: int, divisor: int) -> int:
    return (dividend + divisor - 1) // divisor


def check_same_device(op: str, **tensors: Tensor | None) -> None:
    """Every tensor must be on the device of the first one."""
    (first_name, first), *others = tensors.items()
    for name, tensor in others:
        if tensor is not None:
            torch._check(
                tensor.device == first.device,
                lambda: f"{op}: {name} must be on {first_name}'s device {first.device}, but got {tensor.device}",
            )


def check_dtype(op: str, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    torch._check(
        tensor.dtype == dtype, lambda: f"{op}: {name} must be {dtype_name(dtype)}, but got {dtype_name(tensor.dtype)}"
    )


def check_float_dtype(op: str, name: str, dtype: torch.dtype) -> None:
    torch._check(
        dtype in FLOAT_DTYPES, lambda: f"{op}: {name} must be float32, float16 or bfloat16, but got {dtype_name(dtype)}"
    )


def check_at_least(op: str, name: str, value: int, minimum: int) -> None:
    torch._check(value >= minimum, lambda: f"{op}: {name} must be at least {minimum}, but got {value}")


def check_activations(op: str, x: Tensor, name: str = "x") -> None:
    check_float_dtype(op, name, x.dtype)
    torch._check(x.dim() >= 1, lambda: f"{op}: {name} must have at least 1 dimension, but got a 0-dimensional tensor")


def check_rank(op: str, name: str, tensor: Tensor, layout: str, rank: int) -> None:
    """For a tensor whose sizes define the layout's letters, such as `[N, K]`."""
    torch._check(tensor.dim() == rank, lambda: f"{op}: {name} must be {layout}, but got {list(tensor.shape)}")


def check_shape(op: str, name: str, tensor: Tensor, layout: str, shape: Sequence[int]) -> None:
    def message() -> str:
        return f"{op}: {name} must be {layout} = {list(shape)}, but got {list(tensor.shape)}"

    torch._check(tensor.dim() == len(shape), message)
    for size, expected in zip(tensor.shape, shape, strict=True):
        torch._check(size == expected, message)


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
