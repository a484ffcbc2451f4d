"""torchao::sparse24_prune."""

import torch
from torch import Tensor

from ._check import check_rank
from ._sparse24 import check_values_dtype


def sparse24_prune(weight: Tensor) -> Tensor:
    """Which elements of a weight to keep for 2:4 sparsity: the two largest magnitudes of each four elements of a row (a quad).

    Of equal magnitudes the lower index is kept; 0 and -0 are equal. NaN, whatever its sign and payload, counts as
    larger than Inf, so that a broken weight stays visible. Of a last quad of one or two elements all are kept.
    `sparse24_compress` takes the weight with this mask. No gradient.

    Args:
        weight: [N, K], fp32, fp16, bf16, int8 or float8_e4m3fn, any strides.

    Returns:
        mask: bool [N, K].

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: `weight` must be float32,
            float16, bfloat16, int8 or float8_e4m3fn, and [N, K].
    """
    return torch.ops.torchao.sparse24_prune(weight)


@torch.library.register_fake("torchao::sparse24_prune")
def _fake(weight: Tensor) -> Tensor:
    op = "sparse24_prune"
    check_values_dtype(op, "weight", weight.dtype)
    check_rank(op, "weight", weight, "[N, K]", rank=2)
    return weight.new_empty(weight.shape, dtype=torch.bool)
