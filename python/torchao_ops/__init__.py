"""Quantized matrix operators for PyTorch, and modules that use them.

Importing this package loads libtorchao_ops.so, which registers `torch.ops.torchao.*`, and adds the fake kernels and
gradients that `torch.compile`, `torch.export` and autograd need.
"""

import importlib

from . import _library

_library.load()

from . import hf  # noqa: E402
from ._on_import import on_import  # noqa: E402
from .autoquant import AutoquantReport, apply_autoquant, autoquant  # noqa: E402
from .awq import awq  # noqa: E402
from .config import (  # noqa: E402
    Float8DynamicActivationFloat8WeightConfig,
    Float8WeightOnlyConfig,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt4WeightConfig,
    Int8DynamicActivationInt8SemiSparseWeightConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    NF4WeightOnlyConfig,
    PerBlock,
    PerRow,
    PerTensor,
    QATConfig,
    SemiSparseWeightConfig,
)
from .float8_training import Float8Linear, convert_to_float8_training  # noqa: E402
from .fp8_linear import Fp8Linear  # noqa: E402
from .gptq import gptq  # noqa: E402
from .int4_linear import Int4Linear  # noqa: E402
from .int8_linear import Int8Linear  # noqa: E402
from .linear import QuantLinear  # noqa: E402
from .load_quantized import LoadReport, load_quantized  # noqa: E402
from .lora import LoRALinear  # noqa: E402
from .nf4 import NF4Weight, linear_nf4, to_nf4  # noqa: E402
from .nf4_linear import NF4Linear  # noqa: E402
from .ops.capabilities import capabilities  # noqa: E402
from .ops.fp8_dequantize import fp8_dequantize  # noqa: E402
from .ops.fp8_dynamic_mm import fp8_dynamic_mm  # noqa: E402
from .ops.fp8_mm import fp8_mm  # noqa: E402
from .ops.fp8_quantize import fp8_quantize  # noqa: E402
from .ops.fp8_scaled_mm import fp8_scaled_mm  # noqa: E402
from .ops.int4_dequantize import int4_dequantize  # noqa: E402
from .ops.int4_dynamic_mm import int4_dynamic_mm  # noqa: E402
from .ops.int4_mm import int4_mm  # noqa: E402
from .ops.int4_quantize import int4_quantize  # noqa: E402
from .ops.int8_dequantize import int8_dequantize  # noqa: E402
from .ops.int8_dynamic_mm import int8_dynamic_mm  # noqa: E402
from .ops.int8_mm import int8_mm  # noqa: E402
from .ops.int8_quantize import int8_quantize  # noqa: E402
from .ops.nf4_dequantize import nf4_dequantize  # noqa: E402
from .ops.nf4_mm import nf4_mm  # noqa: E402
from .ops.nf4_mm_backward import nf4_mm_backward  # noqa: E402
from .ops.nf4_quantize import nf4_quantize  # noqa: E402
from .ops.nf4_quantize_absmax import nf4_quantize_absmax  # noqa: E402
from .ops.sparse24_compress import sparse24_compress  # noqa: E402
from .ops.sparse24_cusparselt_compress import sparse24_cusparselt_compress  # noqa: E402
from .ops.sparse24_cusparselt_dynamic_mm import sparse24_cusparselt_dynamic_mm  # noqa: E402
from .ops.sparse24_cusparselt_mm import sparse24_cusparselt_mm  # noqa: E402
from .ops.sparse24_decompress import sparse24_decompress  # noqa: E402
from .ops.sparse24_dynamic_mm import sparse24_dynamic_mm  # noqa: E402
from .ops.sparse24_mm import sparse24_mm  # noqa: E402
from .ops.sparse24_prune import sparse24_prune  # noqa: E402
from .qat import QATLinear  # noqa: E402
from .quantize import quantize_  # noqa: E402
from .size import model_size  # noqa: E402
from .smoothquant import smoothquant  # noqa: E402
from .sparse24_linear import Sparse24Linear  # noqa: E402
from .sparsifier import WandaSparsifier, WeightNormSparsifier  # noqa: E402
from .sparsify import sparsify_  # noqa: E402
from .to_compressed_tensors import to_compressed_tensors  # noqa: E402

__version__ = capabilities()["version"]

on_import("peft.tuners.lora.model", lambda: importlib.import_module("torchao_ops.peft"))

__all__ = [
    "AutoquantReport",
    "Float8DynamicActivationFloat8WeightConfig",
    "Float8Linear",
    "Float8WeightOnlyConfig",
    "Fp8Linear",
    "Int4Linear",
    "Int4WeightOnlyConfig",
    "Int8DynamicActivationInt4WeightConfig",
    "Int8DynamicActivationInt8SemiSparseWeightConfig",
    "Int8DynamicActivationInt8WeightConfig",
    "Int8Linear",
    "Int8WeightOnlyConfig",
    "LoRALinear",
    "LoadReport",
    "NF4Linear",
    "NF4Weight",
    "NF4WeightOnlyConfig",
    "PerBlock",
    "PerRow",
    "PerTensor",
    "QATConfig",
    "QATLinear",
    "QuantLinear",
    "SemiSparseWeightConfig",
    "Sparse24Linear",
    "WandaSparsifier",
    "WeightNormSparsifier",
    "apply_autoquant",
    "autoquant",
    "awq",
    "capabilities",
    "convert_to_float8_training",
    "fp8_dequantize",
    "fp8_dynamic_mm",
    "fp8_mm",
    "fp8_quantize",
    "fp8_scaled_mm",
    "gptq",
    "hf",
    "int4_dequantize",
    "int4_dynamic_mm",
    "int4_mm",
    "int4_quantize",
    "int8_dequantize",
    "int8_dynamic_mm",
    "int8_mm",
    "int8_quantize",
    "linear_nf4",
    "load_quantized",
    "model_size",
    "nf4_dequantize",
    "nf4_mm",
    "nf4_mm_backward",
    "nf4_quantize",
    "nf4_quantize_absmax",
    "quantize_",
    "smoothquant",
    "sparse24_compress",
    "sparse24_cusparselt_compress",
    "sparse24_cusparselt_dynamic_mm",
    "sparse24_cusparselt_mm",
    "sparse24_decompress",
    "sparse24_dynamic_mm",
    "sparse24_mm",
    "sparse24_prune",
    "sparsify_",
    "to_compressed_tensors",
    "to_nf4",
]
