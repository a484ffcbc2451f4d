"""Hugging Face: `TorchAoOpsConfig` is a `quantization_config` of transformers' and diffusers' `from_pretrained`.

Nothing has to be called, and neither package is imported: each learns of ours when it is, in either order.
"""

import importlib

from .._on_import import on_import
from .config import TorchAoOpsConfig

on_import("transformers.quantizers.auto", lambda: importlib.import_module("torchao_ops.hf.transformers"))
on_import("diffusers.quantizers.auto", lambda: importlib.import_module("torchao_ops.hf.diffusers"))

__all__ = ["TorchAoOpsConfig"]
