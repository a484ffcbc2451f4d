"""One file per operator: its documented Python function, its fake kernel and its autograd formula.

Importing this package registers the fakes and the formulas. It has to happen before an operator is first traced:
a formula that is registered later is ignored and gradients come out as None.
"""

from . import (
    capabilities,
    int4_dequantize,
    int4_dynamic_mm,
    int4_mm,
    int4_quantize,
    int8_dequantize,
    int8_dynamic_mm,
    int8_mm,
    int8_quantize,
    nf4_dequantize,
    nf4_mm,
    nf4_mm_backward,
    nf4_quantize,
    nf4_quantize_absmax,
    sparse24_compress,
    sparse24_cusparselt_compress,
    sparse24_cusparselt_mm,
    sparse24_decompress,
    sparse24_dynamic_mm,
    sparse24_mm,
    sparse24_prune,
)

__all__ = [
    "capabilities",
    "int4_dequantize",
    "int4_dynamic_mm",
    "int4_mm",
    "int4_quantize",
    "int8_dequantize",
    "int8_dynamic_mm",
    "int8_mm",
    "int8_quantize",
    "nf4_dequantize",
    "nf4_mm",
    "nf4_mm_backward",
    "nf4_quantize",
    "nf4_quantize_absmax",
    "sparse24_compress",
    "sparse24_cusparselt_compress",
    "sparse24_cusparselt_mm",
    "sparse24_decompress",
    "sparse24_dynamic_mm",
    "sparse24_mm",
    "sparse24_prune",
]
