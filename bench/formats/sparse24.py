"""2:4 sparse weights, of 16 bits and of 8."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peers import Operator
from peers.ggml import GgmlBf16
from peers.ours import Sparse24
from peers.torch_dense import dense
from peers.torch_qlinear import TorchQLinear
from weights import ROW

from formats.base import BEST_DENSE, BETWEEN, DECODE, PREFILL, READ_LIMIT, Constructors, Format, Goal

MM = Operator("sparse24_mm", activations="exact")
DYNAMIC_MM = Operator("sparse24_dynamic_mm", activations="int8")


def candidates(group_sizes: Sequence[int], input_dtype: torch.dtype) -> Constructors:
    del group_sizes  # there are none but the row
    return {
        f"{MM.name} bfloat16": lambda: Sparse24(MM, torch.bfloat16, input_dtype),
        f"{MM.name} int8": lambda: Sparse24(MM, torch.int8, input_dtype),
        f"{DYNAMIC_MM.name} int8": lambda: Sparse24(DYNAMIC_MM, torch.int8, input_dtype),
        "fbgemm row": lambda: TorchQLinear("fbgemm"),
        "oneDNN row": lambda: TorchQLinear("oneDNN"),
        "ggml BF16": GgmlBf16,
        **dense(input_dtype),
    }


SPARSE24 = Format(
    name="sparse24",
    kind="2:4 sparse",
    operators=(MM, DYNAMIC_MM),
    group_sizes=(ROW,),
    usual_group_size=ROW,
    candidates=candidates,
    goals=(
        Goal(MM, DECODE, "cold", READ_LIMIT, 0.85),
        Goal(MM, DECODE, "cold", BEST_DENSE, 1.6),
        Goal(MM, BETWEEN, "cold", BEST_DENSE, 1.0),
        Goal(MM, PREFILL, "cold", "F.linear bfloat16", 1.3),
        Goal(MM, PREFILL, "cold", BEST_DENSE, 1.3),
        Goal(DYNAMIC_MM, PREFILL, "cold", "fbgemm", 1.0),
        Goal(DYNAMIC_MM, PREFILL, "cold", "oneDNN", 1.0),
    ),
    plotted=(
        f"{MM.name} bfloat16",
        f"{DYNAMIC_MM.name} int8",
        "F.linear bfloat16",
        "F.linear float32",
        "fbgemm row",
        "oneDNN row",
        "ggml BF16",
    ),
)
