"""torch._scaled_mm, both operands float8_e4m3fn and rounded before; on a CPU it takes one scale for each."""

from __future__ import annotations

import torch

from peers.ours import Fp8, Operator


class TorchScaledMm(Fp8):
    """With weights and activations that our own quantizer makes."""

    def __init__(self, input_dtype: torch.dtype):
        super().__init__(Operator("fp8_scaled_mm", activations="float8"), input_dtype)
        self.name = "torch _scaled_mm tensor"
        self.version = f"torch {torch.__version__}"

    def operands(self, weight):
        return [*torch.ops.torchao.fp8_quantize(weight.dense, None, "tensor")]

    def bind(self, copy, x):
        b, scale_b = self._copies[copy]
        a, scale_a = torch.ops.torchao.fp8_quantize(x.float(), None, "tensor")
        return lambda: torch._scaled_mm(a, b.t(), scale_a, scale_b, out_dtype=torch.bfloat16)

    def dequantized_key(self):
        return "fp8 tensor"
