"""The candidates: ours and every peer, one file each."""

from __future__ import annotations

from collections.abc import Callable

import torch

from peers import onnxruntime_matmulnbits
from peers.base import Absent, Candidate
from peers.bitsandbytes_nf4 import BitsandbytesNF4
from peers.ggml import GgmlBf16, GgmlQ4
from peers.onnxruntime_matmulnbits import OnnxRuntimeMatMulNBits
from peers.openvino_int4 import OpenVinoInt4
from peers.torch_dense import TorchDense
from peers.torch_int4pack import TorchInt4Pack
from peers.torchao_ops_int4 import TorchaoOpsInt4


def int4_candidates(group_sizes: list[int], input_dtype: torch.dtype) -> dict[str, Callable[[], Candidate]]:
    """A constructor for every candidate of the int4 benchmark under the name that `--only` selects it by.

    Calling one raises Absent where it cannot run.
    """
    candidates: dict[str, Callable[[], Candidate]] = {}
    for group_size in group_sizes:
        g = group_size
        candidates |= {
            f"int4_mm g{g}": lambda g=g: TorchaoOpsInt4("int4_mm", g, input_dtype),
            f"int4_dynamic_mm g{g}": lambda g=g: TorchaoOpsInt4("int4_dynamic_mm", g, input_dtype),
            f"torch int4pack g{g}": lambda g=g: TorchInt4Pack(g, input_dtype),
            f"ONNX Runtime level 0 g{g}": lambda g=g: OnnxRuntimeMatMulNBits(g, onnxruntime_matmulnbits.EXACT),
            f"ONNX Runtime level 4 g{g}": lambda g=g: OnnxRuntimeMatMulNBits(g, onnxruntime_matmulnbits.INT8),
            f"OpenVINO exact g{g}": lambda g=g: OpenVinoInt4(g, dynamic_quantization=False),
            f"OpenVINO dynamic g{g}": lambda g=g: OpenVinoInt4(g, dynamic_quantization=True),
        }
    candidates |= {
        "bitsandbytes NF4 g64": lambda: BitsandbytesNF4(input_dtype),
        "ggml Q4_0 g32": GgmlQ4,
        "ggml BF16": GgmlBf16,
    }
    for dtype in dict.fromkeys((input_dtype, torch.float32)):
        candidates[f"F.linear {str(dtype).removeprefix('torch.')}"] = lambda dtype=dtype: TorchDense(dtype)
    return candidates


__all__ = ["Absent", "Candidate", "int4_candidates"]
