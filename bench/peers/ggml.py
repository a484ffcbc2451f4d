"""ggml, llama.cpp's library, where its source is at hand: GGML_DIR names the checkout.

Q4_0 and Q8_0 have groups of 32 with an fp16 scale and quantize the activations to int8 in blocks of 32; BF16 is its dense product.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from functools import cache
from pathlib import Path

import native
import numpy
import torch

from peers.base import Absent, Candidate, IntegerCandidate

GROUP_SIZE = 32


@cache
def _ggml() -> ctypes.CDLL:
    directory = os.environ.get("GGML_DIR")
    if not directory:
        raise Absent("GGML_DIR does not name a source checkout of ggml")
    if not (Path(directory) / "include" / "ggml.h").exists():
        raise Absent(f"GGML_DIR={directory} has no include/ggml.h")
    if not (native.BUILD / "libbench_ggml.so").exists():
        print("building ggml from GGML_DIR, which takes a few minutes", flush=True)
    library = native.library("bench_ggml")
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    signatures = {
        "version": (ctypes.c_char_p, []),
        "set_threads": (None, [ctypes.c_int]),
        "weight_q4_0": (pointer, [integer, integer, pointer]),
        "weight_q8_0": (pointer, [integer, integer, pointer]),
        "weight_bf16": (pointer, [integer, integer, pointer]),
        "weight_is_repacked": (ctypes.c_int, [pointer]),
        "weight_free": (None, [pointer]),
        "product": (pointer, [pointer, integer, pointer]),
        "product_run": (ctypes.c_int, [pointer]),
        "product_result": (ctypes.POINTER(ctypes.c_float), [pointer]),
        "product_free": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"bench_ggml_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class _Ggml(Candidate):
    """What the products share: weights and bound products are handles into the C interface."""

    input_dtype = torch.float32

    def _load(self):
        self._library = _ggml()
        self.version = f"ggml {self._library.bench_ggml_version().decode()}"
        self._out_features = 0
        self._copies = []

    def _adopt(self, handles, weight, threads):
        self._library.bench_ggml_set_threads(threads)
        self._copies = handles
        self._out_features = weight.shape[0]

    def bind(self, copy, x):
        library, shape = self._library, (x.shape[0], self._out_features)
        product = library.bench_ggml_product(self._copies[copy], x.shape[0], x.data_ptr())
        y = numpy.ctypeslib.as_array(library.bench_ggml_product_result(product), shape)
        run = library.bench_ggml_product_run

        def call():
            if run(product) != 0:
                raise RuntimeError("ggml_backend_graph_compute failed")
            return y

        weakref.finalize(call, library.bench_ggml_product_free, product)
        return call

    def release(self):
        for handle in self._copies:
            self._library.bench_ggml_weight_free(handle)
        self._copies = []


class GgmlQuantized(_Ggml, IntegerCandidate):
    activations = "int8"

    def __init__(self, bits: int):
        super().__init__(bits, GROUP_SIZE)
        self.name = f"ggml Q{bits}_0 g{GROUP_SIZE}"
        self._load()

    def bytes_per_group(self):
        return 2

    def prepare(self, weight, copies, threads):
        self.require_whole_groups(weight)
        rows, columns = weight.shape
        blocks = self._blocks(weight)
        make = getattr(self._library, f"bench_ggml_weight_q{self.bits}_0")
        self._adopt([make(rows, columns, blocks.ctypes.data) for _ in range(copies)], weight, threads)

    def _blocks(self, weight) -> numpy.ndarray:
        """[N * K / 32, 18 or 34] bytes: the scale, then 32 values; of 4-bit codes, byte j holds j (low) and j + 16 (high)."""
        integers = self.integers(weight)
        if self.bits == 8:
            stored = integers.values.numpy().reshape(-1, GROUP_SIZE).view(numpy.uint8)
        else:
            codes = integers.codes.numpy().reshape(-1, GROUP_SIZE)
            stored = codes[:, :16] | (codes[:, 16:] << 4)
        scale = integers.scale.half().numpy().reshape(-1, 1).view(numpy.uint8)
        return numpy.ascontiguousarray(numpy.concatenate([scale, stored], axis=1))


class GgmlBf16(_Ggml):
    name = "ggml BF16"
    group_size = None
    activations = "exact"

    def __init__(self):
        self._load()

    def weight_bytes(self, weight):
        return weight.dense.numel() * 2

    def dequantized(self, weight):
        return weight.dense.bfloat16().float()

    def dequantized_key(self):
        return "dense bfloat16"

    def prepare(self, weight, copies, threads):
        rows, columns = weight.shape
        data = weight.dense.bfloat16()
        handles = [self._library.bench_ggml_weight_bf16(rows, columns, data.data_ptr()) for _ in range(copies)]
        self._adopt(handles, weight, threads)
