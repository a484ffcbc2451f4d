"""bitsandbytes' Linear4bit with NF4 weights, called as its users call it.

Where the CPU has AVX512_BF16 the module repacks its weight on the first call for a fused product; elsewhere it
dequantizes the whole weight in every call.
"""

from __future__ import annotations

import torch

from peers.base import Absent, Candidate


class BitsandbytesNF4(Candidate):
    activations = "exact"

    def __init__(self, input_dtype: torch.dtype, block_size: int):
        try:
            import bitsandbytes
        except ImportError as error:
            raise Absent(f"cannot import bitsandbytes: {error}") from error
        self._bitsandbytes = bitsandbytes
        self.version = f"bitsandbytes {bitsandbytes.__version__}"
        self.group_size = block_size
        self.name = f"bitsandbytes NF4 g{block_size}"
        self.input_dtype = input_dtype
        self._copies = []

    def weight_bytes(self, weight):
        return weight.dense.numel() // 2 + weight.dense.numel() // self.group_size * 4  # fp32 absmax

    def dequantizer(self, weight, dtype=None):
        """The call that makes a matrix of `dtype`; None: this candidate's."""
        functional, dense = self._bitsandbytes.functional, weight.dense.to(dtype or self.input_dtype)
        packed, state = functional.quantize_4bit(dense, blocksize=self.group_size, quant_type="nf4")
        return lambda: functional.dequantize_4bit(packed, state)

    def dequantized(self, weight):
        return self.dequantizer(weight, weight.dense.dtype)()

    def dequantized_key(self):
        return f"nf4 g{self.group_size}"

    def prepare(self, weight, copies, threads):
        torch.set_num_threads(threads)
        self._copies = [self.layer(weight) for _ in range(copies)]

    def layer(self, weight):
        """A copy of the weight, on its device."""
        rows, columns = weight.shape
        nn = self._bitsandbytes.nn
        layer = nn.Linear4bit(
            columns, rows, bias=False, compute_dtype=self.input_dtype, quant_type="nf4", device="meta"
        )
        layer.weight = nn.Params4bit(
            weight.dense.clone(), requires_grad=False, blocksize=self.group_size, quant_type="nf4"
        )
        return layer.to(weight.dense.device).eval()  # .to() is where it quantizes

    def bind(self, copy, x):
        layer = self._copies[copy]
        return lambda: layer(x)

    def release(self):
        self._copies = []
