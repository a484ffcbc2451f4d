"""torchao::sparse24_cusparselt_compress."""

import torch
from torch import Tensor

from ._check import check_at_least, check_same_device, dtype_name
from ._sparse24 import check_on_cuda, check_weight


def sparse24_cusparselt_compress(values: Tensor, bitmask: Tensor, in_features: int) -> Tensor:
    """A 2:4 sparse weight in cuSPARSELt's own layout, for `sparse24_cusparselt_mm` and `sparse24_cusparselt_dynamic_mm`: CUDA only.

    The layout depends on the version of cuSPARSELt and on the device: make it where it is used, and save `values` and
    `bitmask`. Any N and K: it is the layout of a weight that zeros fill to multiples of 16; values of 8 bits to N of a
    multiple of 32, and K of 128. cuSPARSELt is looked up in the process, where torch with CUDA has loaded it, or else
    in the system: version 0.8 or newer. No gradient.

    Args:
        values, bitmask: the weight [N, in_features], as `sparse24_decompress` takes it, in fp16, bf16, int8 or
            float8_e4m3fn on a CUDA device.
        in_features: K.

    Returns:
        The packed weight: a tensor of one dimension, of the values' dtype, of a size that cuSPARSELt decides.

    Raises:
        RuntimeError: one sentence naming the argument, what it must be and what came: devices against `values`; `values
            must be on a CUDA device, which cuSPARSELt is for, but got cpu`; `values` must be float16, bfloat16,
            int8 or float8_e4m3fn; dtypes and shapes of the tensors; more than two of four in `bitmask`; what cuSPARSELt
            says, if there is none in this process or it knows no such device.
    """
    return torch.ops.torchao.sparse24_cusparselt_compress(values, bitmask, in_features)


@torch.library.register_fake("torchao::sparse24_cusparselt_compress")
def _fake(values: Tensor, bitmask: Tensor, in_features: int) -> Tensor:
    op = "sparse24_cusparselt_compress"
    check_same_device(op, values=values, bitmask=bitmask)
    check_on_cuda(op, "values", values)
    torch._check(
        values.dtype in (torch.float16, torch.bfloat16, torch.int8, torch.float8_e4m3fn),
        lambda: f"{op}: values must be float16, bfloat16, int8 or float8_e4m3fn, but got {dtype_name(values.dtype)}",
    )
    check_at_least(op, "in_features", in_features, 0)
    check_weight(op, values, bitmask, None, in_features)
    # How large it is only cuSPARSELt knows.
    return values.new_empty((torch.library.get_ctx().new_dynamic_size(),))
