"""torchao::nf4_quantize_absmax."""

import torch
from torch import Tensor

from ._check import ceil_div, check_at_least, check_float_dtype, check_rank


def nf4_quantize_absmax(absmax: Tensor, nested_block_size: int = 256) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rounds the absmax of an nf4 weight to 8 bits (double quantization).

    absmax[b] = absmax_code[code[b]] * nested_absmax[b // nested_block_size] + absmax_offset. The offset is the mean of
    absmax; what is left is scaled by its largest magnitude in each block of `nested_block_size`, and rounded to one of
    the 256 numbers of bitsandbytes' dynamic map. If absmax holds a NaN or an Inf, the offset is NaN, and the whole
    weight dequantizes to NaN. No gradient.

    Args:
        absmax: [blocks], fp32, fp16 or bf16, any stride.
        nested_block_size: how many blocks share a nested_absmax, at least 1.

    Returns:
        absmax: uint8 [blocks], the codes.
        absmax_code: fp32 [256], the numbers that they stand for.
        nested_absmax: fp32 [ceil(blocks / nested_block_size)].
        absmax_offset: fp32 [], the mean of absmax.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: `absmax` must be float32, float16
            or bfloat16, and [blocks]; `nested_block_size` must be at least 1.
    """
    return torch.ops.torchao.nf4_quantize_absmax(absmax, nested_block_size)


@torch.library.register_fake("torchao::nf4_quantize_absmax")
def _fake(absmax: Tensor, nested_block_size: int = 256) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    op = "nf4_quantize_absmax"
    check_float_dtype(op, "absmax", absmax.dtype)
    check_rank(op, "absmax", absmax, "[blocks]", rank=1)
    check_at_least(op, "nested_block_size", nested_block_size, 1)
    blocks = absmax.shape[0]
    return (
        absmax.new_empty((blocks,), dtype=torch.uint8),
        absmax.new_empty((256,), dtype=torch.float32),
        absmax.new_empty((ceil_div(blocks, nested_block_size),), dtype=torch.float32),
        absmax.new_empty((), dtype=torch.float32),
    )
