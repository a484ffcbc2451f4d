"""torchao::int8_quantize."""

import torch
from torch import Tensor

from ._check import check_at_least, check_float_dtype, check_rank
from ._int8 import scale_shape


def int8_quantize(weight: Tensor, group_size: int = 0) -> tuple[Tensor, Tensor]:
    """Rounds a weight to 8 bits: w = code * scale, with one scale per row, or per row and group.

    Args:
        weight: [N, K], fp32, fp16 or bf16, any strides.
        group_size: how many neighbours in a row share a scale; the last group of a row may be shorter, and a group size
            above K is one group. 0: the whole row.

    Returns:
        weight: int8 [N, K], codes from -127 to 127.
        weight_scale: [N] for group_size 0, else [N, ceil(K / group_size)], in the weight's dtype.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came.
    """
    return torch.ops.torchao.int8_quantize(weight, group_size)


@torch.library.register_fake("torchao::int8_quantize")
def _fake(weight: Tensor, group_size: int = 0) -> tuple[Tensor, Tensor]:
    op = "int8_quantize"
    check_float_dtype(op, "weight", weight.dtype)
    check_rank(op, "weight", weight, "[N, K]", rank=2)
    check_at_least(op, "group_size", group_size, 0)
    return (
        weight.new_empty(weight.shape, dtype=torch.int8),
        weight.new_empty(scale_shape(*weight.shape, group_size)),
    )
