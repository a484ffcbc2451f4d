"""int8 weights with a scale per row or per group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peers import Operator
from peers.bitsandbytes_int8 import BitsandbytesInt8
from peers.ggml import GgmlBf16, GgmlQuantized
from peers.onnxruntime_matmulnbits import OnnxRuntimeMatMulNBits
from peers.openvino_compressed import OpenVinoCompressed
from peers.ours import Int8
from peers.torch_dense import dense
from peers.torch_int8pack import TorchInt8Pack
from peers.torch_int_mm import TorchIntMm
from peers.torch_qlinear import TorchQLinear
from weights import ROW, group_text

from formats.base import ALL, BEST_DENSE, BETWEEN, DECODE, PREFILL, READ_LIMIT, Constructors, Format, Goal

MM = Operator("int8_mm", activations="exact")
DYNAMIC_MM = Operator("int8_dynamic_mm", activations="int8")


def candidates(group_sizes: Sequence[int], input_dtype: torch.dtype) -> Constructors:
    found: Constructors = {}
    for group_size in group_sizes:
        g, text = group_size, group_text(group_size)
        for operator in (MM, DYNAMIC_MM):
            found[f"{operator.name} {text}"] = lambda g=g, operator=operator: Int8(operator, g, input_dtype)
        found |= {
            f"OpenVINO exact {text}": lambda g=g: OpenVinoCompressed(8, g, dynamic_quantization=False),
            f"OpenVINO dynamic {text}": lambda g=g: OpenVinoCompressed(8, g, dynamic_quantization=True),
        }
        if group_size != ROW:
            found |= {
                f"ONNX Runtime level 0 {text}": lambda g=g: OnnxRuntimeMatMulNBits(8, g, accuracy_level=0),
                f"ONNX Runtime level 4 {text}": lambda g=g: OnnxRuntimeMatMulNBits(8, g, accuracy_level=4),
            }
    return found | {
        "torch int8pack row": lambda: TorchInt8Pack(input_dtype),
        "torch _int_mm row": lambda: TorchIntMm(input_dtype),
        "fbgemm row": lambda: TorchQLinear("fbgemm"),
        "oneDNN row": lambda: TorchQLinear("oneDNN"),
        "bitsandbytes int8 row": BitsandbytesInt8,
        "ggml Q8_0 g32": lambda: GgmlQuantized(8),
        "ggml BF16": GgmlBf16,
        **dense(input_dtype),
    }


INT8 = Format(
    name="int8",
    kind="8-bit",
    operators=(MM, DYNAMIC_MM),
    group_sizes=(ROW, 128),
    usual_group_size=ROW,
    candidates=candidates,
    goals=(
        Goal(MM, DECODE, "cold", READ_LIMIT, 0.85),
        Goal(MM, DECODE, "cold", "torch int8pack", 1.7),
        Goal(MM, BETWEEN, "cold", BEST_DENSE, 1.0),
        Goal(MM, PREFILL, "cold", "F.linear bfloat16", 0.95),
        Goal(MM, PREFILL, "cold", BEST_DENSE, 0.95),
        Goal(MM, PREFILL, "cold", "torch int8pack", 2.8),
        Goal(DYNAMIC_MM, ALL, "cold", "fbgemm", 1.0),
        Goal(DYNAMIC_MM, ALL, "warm", "fbgemm", 1.0),
        Goal(DYNAMIC_MM, ALL, "cold", "oneDNN", 1.0),
        Goal(DYNAMIC_MM, ALL, "warm", "oneDNN", 1.0),
        Goal(DYNAMIC_MM, BETWEEN, "cold", BEST_DENSE, 1.0),
    ),
    plotted=(
        "int8_mm row",
        "int8_dynamic_mm row",
        "F.linear bfloat16",
        "F.linear float32",
        "torch int8pack row",
        "torch _int_mm row",
        "fbgemm row",
        "oneDNN row",
        "bitsandbytes int8 row",
        "ONNX Runtime level 0 g128",
        "ONNX Runtime level 4 g128",
        "OpenVINO exact row",
        "OpenVINO dynamic row",
        "ggml Q8_0 g32",
        "ggml BF16",
    ),
)
