"""bitsandbytes' Linear8bitLt without outliers, called as its users call it.

Without AVX-512 it multiplies the integers as fp32, converting the whole weight in every call.
"""

from __future__ import annotations

import torch
from weights import ROW

from peers.base import Absent, IntegerCandidate


class BitsandbytesInt8(IntegerCandidate):
    activations = "int8"
    name = "bitsandbytes int8 row"
    input_dtype = torch.float16  # others it rounds to fp16 first, with a warning

    def __init__(self):
        super().__init__(8, ROW)
        try:
            import bitsandbytes
        except ImportError as error:
            raise Absent(f"cannot import bitsandbytes: {error}") from error
        self._bitsandbytes = bitsandbytes
        self.version = f"bitsandbytes {bitsandbytes.__version__}"
        self._copies = []

    def bytes_per_group(self):
        return 4  # fp32 absmax

    def prepare(self, weight, copies, threads):
        torch.set_num_threads(threads)
        self._copies = [self._layer(weight) for _ in range(copies)]

    def _layer(self, weight):
        rows, columns = weight.shape
        nn = self._bitsandbytes.nn
        int8 = self.integers(weight)
        values, absmax = int8.values.clone(), int8.scale.float().view(-1) * 127
        layer = nn.Linear8bitLt(columns, rows, bias=False, has_fp16_weights=False, threshold=0.0)
        layer.weight = nn.Int8Params(values, requires_grad=False, has_fp16_weights=False, CB=values, SCB=absmax)
        return layer.eval()

    def bind(self, copy, x):
        layer = self._copies[copy]
        return lambda: layer(x)

    def release(self):
        self._copies = []
