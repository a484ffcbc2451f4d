"""nf4 weights: blocks of the flattened weight, whose scales are plain or 8-bit themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peers import Operator
from peers.bitsandbytes_nf4 import BitsandbytesNF4
from peers.ggml import GgmlBf16
from peers.ours import Nf4
from peers.torch_dense import dense

from formats.base import BEST_DENSE, BETWEEN, DECODE, PREFILL, READ_LIMIT, Constructors, Format, Goal

MM = Operator("nf4_mm", activations="exact")
BLOCK_SIZE = 64  # bitsandbytes' default, and QLoRA's


def candidates(group_sizes: Sequence[int], input_dtype: torch.dtype) -> Constructors:
    found: Constructors = {}
    for block_size in group_sizes:
        g = block_size
        found |= {
            f"{MM.name} g{g}": lambda g=g: Nf4(MM, g, False, input_dtype),
            f"{MM.name} g{g} double": lambda g=g: Nf4(MM, g, True, input_dtype),
            f"bitsandbytes NF4 g{g}": lambda g=g: BitsandbytesNF4(input_dtype, g),
        }
    return found | {"ggml BF16": GgmlBf16, **dense(input_dtype)}


NF4 = Format(
    name="nf4",
    kind="4-bit",
    operators=(MM,),
    group_sizes=(BLOCK_SIZE,),
    usual_group_size=BLOCK_SIZE,
    candidates=candidates,
    goals=(
        Goal(MM, DECODE, "cold", READ_LIMIT, 0.85),
        Goal(MM, DECODE, "cold", "bitsandbytes", 1.25),
        Goal(MM, BETWEEN, "cold", BEST_DENSE, 1.0),
        Goal(MM, PREFILL, "cold", "F.linear bfloat16", 0.95),
        Goal(MM, PREFILL, "cold", BEST_DENSE, 0.95),
    ),
    plotted=(
        f"{MM.name} g{BLOCK_SIZE}",
        f"{MM.name} g{BLOCK_SIZE} double",
        f"bitsandbytes NF4 g{BLOCK_SIZE}",
        "F.linear bfloat16",
        "F.linear float32",
    ),
)
