"""Ways in which the memory of a matrix can lie: each function gives a matrix of the same shape, of strides that are not contiguous ones."""

import torch
from torch import Tensor


def transposed(tensor: Tensor) -> Tensor:
    return tensor.t().contiguous().t()


def offset_by_one_element(tensor: Tensor) -> Tensor:
    storage = torch.empty(tensor.numel() + 1, dtype=tensor.dtype)
    storage[1:] = tensor.flatten()
    return storage[1:].view(tensor.shape)


def with_row_gaps(tensor: Tensor) -> Tensor:
    wide = torch.full((tensor.shape[0], tensor.shape[1] + 3), 7, dtype=tensor.dtype)
    wide[:, : tensor.shape[1]] = tensor
    return wide[:, : tensor.shape[1]]


def every_second_column(tensor: Tensor) -> Tensor:
    wide = torch.full((tensor.shape[0], tensor.shape[1] * 2), 7, dtype=tensor.dtype)
    wide[:, ::2] = tensor
    return wide[:, ::2]


def expanded(tensor: Tensor) -> Tensor:
    return tensor[:1].expand(tensor.shape)


def expanded_both_ways(tensor: Tensor) -> Tensor:
    return tensor[:1, :1].expand(tensor.shape)


def overlapping(tensor: Tensor) -> Tensor:
    """Row i + 1 starts one element after row i."""
    rows, columns = tensor.shape
    return tensor.flatten()[: rows + columns - 1].as_strided((rows, columns), (1, 1))


LAYOUTS = [
    transposed,
    offset_by_one_element,
    with_row_gaps,
    every_second_column,
    expanded,
    expanded_both_ways,
    overlapping,
]
