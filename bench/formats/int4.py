"""int4 weights in groups, with a zero point each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peers import Operator
from peers.bitsandbytes_nf4 import BitsandbytesNF4
from peers.ggml import GgmlBf16, GgmlQuantized
from peers.onnxruntime_matmulnbits import OnnxRuntimeMatMulNBits
from peers.openvino_compressed import OpenVinoCompressed
from peers.ours import Int4
from peers.torch_dense import dense
from peers.torch_int4pack import TorchInt4Pack
from weights import group_text

from formats.base import BEST_DENSE, BETWEEN, DECODE, PREFILL, READ_LIMIT, Constructors, Format, Goal

MM = Operator("int4_mm", activations="exact")
DYNAMIC_MM = Operator("int4_dynamic_mm", activations="int8")


def candidates(group_sizes: Sequence[int], input_dtype: torch.dtype) -> Constructors:
    found: Constructors = {}
    for group_size in group_sizes:
        g, text = group_size, group_text(group_size)
        for operator in (MM, DYNAMIC_MM):
            found[f"{operator.name} {text}"] = lambda g=g, operator=operator: Int4(operator, g, input_dtype)
        found |= {
            f"torch int4pack {text}": lambda g=g: TorchInt4Pack(g, input_dtype),
            f"ONNX Runtime level 0 {text}": lambda g=g: OnnxRuntimeMatMulNBits(4, g, accuracy_level=0),
            f"ONNX Runtime level 4 {text}": lambda g=g: OnnxRuntimeMatMulNBits(4, g, accuracy_level=4),
            f"OpenVINO exact {text}": lambda g=g: OpenVinoCompressed(4, g, dynamic_quantization=False),
            f"OpenVINO dynamic {text}": lambda g=g: OpenVinoCompressed(4, g, dynamic_quantization=True),
        }
    return found | {
        "bitsandbytes NF4 g64": lambda: BitsandbytesNF4(input_dtype, 64),
        "ggml Q4_0 g32": lambda: GgmlQuantized(4),
        "ggml BF16": GgmlBf16,
        **dense(input_dtype),
    }


INT4 = Format(
    name="int4",
    kind="4-bit",
    operators=(MM, DYNAMIC_MM),
    group_sizes=(32, 128),
    usual_group_size=128,
    candidates=candidates,
    goals=(
        Goal(MM, DECODE, "cold", READ_LIMIT, 0.85),
        Goal(MM, DECODE, "cold", "ggml Q4_0", 1.3),
        Goal(MM, DECODE, "cold", "torch int4pack", 1.6),
        Goal(MM, BETWEEN, "cold", BEST_DENSE, 1.0),
        Goal(MM, PREFILL, "cold", "F.linear bfloat16", 0.95),
        Goal(MM, PREFILL, "cold", BEST_DENSE, 0.95),
        Goal(MM, PREFILL, "cold", "ggml Q4_0", 1.6),
        Goal(MM, PREFILL, "cold", "torch int4pack", 2.5),
        Goal(MM, PREFILL, "warm", "ONNX Runtime level 0", 1.0),
        Goal(DYNAMIC_MM, DECODE, "cold", READ_LIMIT, 0.85),
        Goal(DYNAMIC_MM, DECODE, "cold", "ggml Q4_0", 1.3),
        Goal(DYNAMIC_MM, DECODE, "cold", "torch int4pack", 1.6),
        Goal(DYNAMIC_MM, DECODE, "warm", "ONNX Runtime level 4", 1.0),
        Goal(DYNAMIC_MM, BETWEEN, "cold", BEST_DENSE, 1.0),
        Goal(DYNAMIC_MM, PREFILL, "cold", "F.linear bfloat16", 1.7),
        Goal(DYNAMIC_MM, PREFILL, "cold", BEST_DENSE, 1.7),
        Goal(DYNAMIC_MM, PREFILL, "cold", "ggml Q4_0", 2.7),
        Goal(DYNAMIC_MM, PREFILL, "cold", "OpenVINO dynamic", 1.7),
        Goal(DYNAMIC_MM, PREFILL, "warm", "ONNX Runtime level 4", 1.0),
    ),
    plotted=(
        "int4_mm g128",
        "int4_dynamic_mm g128",
        "F.linear bfloat16",
        "F.linear float32",
        "torch int4pack g128",
        "bitsandbytes NF4 g64",
        "ONNX Runtime level 0 g128",
        "ONNX Runtime level 4 g128",
        "OpenVINO exact g128",
        "OpenVINO dynamic g128",
        "ggml Q4_0 g32",
        "ggml BF16",
    ),
)
