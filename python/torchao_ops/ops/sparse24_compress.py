"""torchao::sparse24_compress."""

import torch
from torch import Tensor

from ._check import check_dtype, check_rank, check_same_device, check_shape
from ._sparse24 import bitmask_columns, check_values_dtype, value_columns


def sparse24_compress(weight: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Stores half of a 2:4 sparse weight, and a bit for each element that says which half.

    Writes the bytes of compressed-tensors' `sparse-24-bitmask`; the numbers are copied bit for bit. Exactly two
    elements of each quad are marked. Without a mask they are the two that `sparse24_prune` would keep, and the others
    must be zeros: 0 or -0. With one, it may keep at most two elements of each quad; where it keeps fewer, zeros (+0) in
    the first places that it leaves free make two. No gradient.

    Args:
        weight: [N, K], fp32, fp16, bf16, int8 or float8_e4m3fn, any strides. Without a mask, it must have at most two numbers
            other than 0 and -0 in each four elements of a row.
        mask: bool [N, K], what to keep: at most two of each four elements of a row. None: what is not zero.

    Returns:
        values: [N, 2 * ceil(K / 4)] of the weight's dtype: of each quad the two that are kept, in order.
        bitmask: uint8 [N, ceil(K / 8)]: bit k % 8 of byte k // 8 is set where element k is kept.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: device of `mask` against
            `weight`; `weight` as in `sparse24_prune`; `mask` must be bool, and [N, K]; more than two of four in
            `weight` or in `mask`.
    """
    return torch.ops.torchao.sparse24_compress(weight, mask)


@torch.library.register_fake("torchao::sparse24_compress")
def _fake(weight: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    op = "sparse24_compress"
    check_same_device(op, weight=weight, mask=mask)
    check_values_dtype(op, "weight", weight.dtype)
    check_rank(op, "weight", weight, "[N, K]", rank=2)
    if mask is not None:
        check_dtype(op, "mask", mask, torch.bool)
        check_shape(op, "mask", mask, "[N, K]", weight.shape)
    out_features, in_features = weight.shape
    return (
        weight.new_empty((out_features, value_columns(in_features))),
        weight.new_empty((out_features, bitmask_columns(in_features)), dtype=torch.uint8),
    )
