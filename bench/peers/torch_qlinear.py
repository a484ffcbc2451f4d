"""torch's dynamically quantized linear layer (torch.ao.nn.quantized.dynamic.Linear), by fbgemm and by oneDNN.

Called as the layer calls it: x in fp32 is rounded to integers with one scale for the whole tensor, and `reduce_range` is set, so
to 7 bits, without which CPUs that have no VNNI would saturate. Its error is twice that of int8 rows for that reason.
"""

from __future__ import annotations

import torch
from weights import ROW

from peers.base import Absent, IntegerCandidate


class TorchQLinear(IntegerCandidate):
    activations = "int8"
    input_dtype = torch.float32

    def __init__(self, engine: str):
        super().__init__(8, ROW)
        if engine.lower() not in torch.backends.quantized.supported_engines:
            raise Absent(f"this torch was built without {engine}")
        self.name = f"{engine} row"
        self._engine = engine.lower()
        self._copies = []

    def bytes_per_group(self):
        return 4  # fp32 scale

    def prepare(self, weight, copies, threads):
        torch.set_num_threads(threads)
        int8 = self.integers(weight)
        scale = int8.scale.double().view(-1)
        quantized = torch._make_per_channel_quantized_tensor(int8.values, scale, torch.zeros_like(scale).long(), 0)
        before = torch.backends.quantized.engine
        torch.backends.quantized.engine = self._engine  # the packed weight keeps to it
        try:
            self._copies = [torch.ops.quantized.linear_prepack(quantized, None) for _ in range(copies)]
        finally:
            torch.backends.quantized.engine = before

    def bind(self, copy, x):
        product, packed = torch.ops.quantized.linear_dynamic, self._copies[copy]
        return lambda: product(x, packed, reduce_range=True)

    def release(self):
        self._copies = []
