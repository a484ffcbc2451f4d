"""fp8 weights, float8_e4m3fn with a scale a row, and products of two fp8 operands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peers import Operator
from peers.ggml import GgmlBf16
from peers.ours import Fp8, ScaledFp8
from peers.torch_dense import dense
from peers.torch_scaled_mm import TorchScaledMm
from weights import ROW

from formats.base import ALL, BEST_DENSE, BETWEEN, DECODE, PREFILL, READ_LIMIT, Constructors, Format, Goal

MM = Operator("fp8_mm", activations="exact")
DYNAMIC_MM = Operator("fp8_dynamic_mm", activations="float8")
SCALED_MM = Operator("fp8_scaled_mm", activations="float8")


def candidates(group_sizes: Sequence[int], input_dtype: torch.dtype) -> Constructors:
    del group_sizes  # there are none but the row
    return {
        f"{MM.name} row": lambda: Fp8(MM, input_dtype),
        f"{DYNAMIC_MM.name} row": lambda: Fp8(DYNAMIC_MM, input_dtype),
        f"{SCALED_MM.name} row": lambda: ScaledFp8(SCALED_MM, input_dtype),
        "torch _scaled_mm tensor": lambda: TorchScaledMm(input_dtype),
        "ggml BF16": GgmlBf16,
        **dense(input_dtype),
    }


FP8 = Format(
    name="fp8",
    kind="8-bit",
    operators=(MM, DYNAMIC_MM, SCALED_MM),
    group_sizes=(ROW,),
    usual_group_size=ROW,
    candidates=candidates,
    goals=(
        Goal(MM, DECODE, "cold", READ_LIMIT, 0.85),
        Goal(MM, BETWEEN, "cold", BEST_DENSE, 1.0),
        Goal(MM, PREFILL, "cold", "F.linear bfloat16", 0.9),
        Goal(MM, PREFILL, "cold", BEST_DENSE, 0.9),
        Goal(SCALED_MM, ALL, "cold", "torch _scaled_mm", 50.0),
    ),
    plotted=(
        f"{MM.name} row",
        f"{DYNAMIC_MM.name} row",
        "torch _scaled_mm tensor",
        "F.linear bfloat16",
        "F.linear float32",
        "ggml BF16",
    ),
)
