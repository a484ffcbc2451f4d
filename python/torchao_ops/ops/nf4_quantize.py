"""torchao::nf4_quantize."""

import torch
from torch import Tensor

from ._check import ceil_div, check_float_dtype
from ._nf4 import check_block_size


def nf4_quantize(weight: Tensor, block_size: int = 64) -> tuple[Tensor, Tensor]:
    """Rounds a weight to NF4: w = value of a 4-bit code * absmax, with one absmax per block of the flattened weight.

    Writes the bytes that bitsandbytes writes. In fp32, on the elements of one block: absmax = max|w|; code = that of
    the number nearest to w * (1 / absmax), of two equally near ones the lower. A last block that is not full divides, w
    / absmax, and its absmax is at least 1e-38. A block of zeros dequantizes to exact zeros. A block with a NaN or an
    Inf has absmax NaN and dequantizes to NaN (bitsandbytes makes NaN and Inf of the latter). No gradient.

    Args:
        weight: of any shape, fp32, fp16 or bf16, any strides.
        block_size: how many neighbours share an absmax: a power of two of at least 32. The last block may be shorter.

    Returns:
        weight_packed: uint8 [ceil(numel / 2)], element 2j of the flattened weight in the high nibble of byte j.
        absmax: fp32 [ceil(numel / block_size)].

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: `weight` must be float32, float16
            or bfloat16; `block_size` must be a power of two of at least 32.
    """
    return torch.ops.torchao.nf4_quantize(weight, block_size)


@torch.library.register_fake("torchao::nf4_quantize")
def _fake(weight: Tensor, block_size: int = 64) -> tuple[Tensor, Tensor]:
    op = "nf4_quantize"
    check_float_dtype(op, "weight", weight.dtype)
    check_block_size(op, block_size)
    return (
        weight.new_empty((ceil_div(weight.numel(), 2),), dtype=torch.uint8),
        weight.new_empty((ceil_div(weight.numel(), block_size),), dtype=torch.float32),
    )
