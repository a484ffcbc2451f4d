"""torchao::sparse24_decompress."""

import torch
from torch import Tensor

from ._check import check_at_least, check_same_device
from ._sparse24 import check_values_dtype, check_weight


def sparse24_decompress(values: Tensor, bitmask: Tensor, in_features: int) -> Tensor:
    """The dense weight: the values in their places, bit for bit, and +0 elsewhere.

    No gradient.

    Args:
        values: [N, 2 * ceil(K / 4)], fp32, fp16, bf16, int8 or float8_e4m3fn.
        bitmask: uint8 [N, ceil(K / 8)], with at most two bits set for each four elements.
        in_features: K. Four K share the number of values, and eight that of bytes.

    Returns:
        [N, K] in the values' dtype. A scale, if there is one, is not applied.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: device of `bitmask` against
            `values`; `in_features` must be at least 0; dtypes and shapes of the tensors; more than two of four in
            `bitmask`.
    """
    return torch.ops.torchao.sparse24_decompress(values, bitmask, in_features)


@torch.library.register_fake("torchao::sparse24_decompress")
def _fake(values: Tensor, bitmask: Tensor, in_features: int) -> Tensor:
    op = "sparse24_decompress"
    check_same_device(op, values=values, bitmask=bitmask)
    check_at_least(op, "in_features", in_features, 0)
    check_values_dtype(op, "values", values.dtype)
    check_weight(op, values, bitmask, None, in_features)
    return values.new_empty((values.shape[0], in_features))
