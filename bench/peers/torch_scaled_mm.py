"""torch._scaled_mm, both operands float8_e4m3fn with a scale a row, rounded before."""

from __future__ import annotations

import torch

from peers.ours import Fp8, Operator


class TorchScaledMm(Fp8):
    """With the weight and the activations of our own operator."""

    def __init__(self, input_dtype: torch.dtype):
        super().__init__(Operator("fp8_scaled_mm", activations="float8"), input_dtype)
        self.name = "torch _scaled_mm row"
        self.version = f"torch {torch.__version__}"

    def bind(self, copy, x):
        b, scale_b = self._copies[copy]
        a, scale_a = torch.ops.torchao.fp8_quantize(x.float())
        scale_a, scale_b = scale_a.unsqueeze(1), scale_b.unsqueeze(0)
        return lambda: torch._scaled_mm(a, b.t(), scale_a, scale_b, out_dtype=torch.bfloat16)
