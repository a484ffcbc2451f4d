"""Hugging Face: `TorchAoOpsConfig` is a `quantization_config` of transformers' and diffusers' `from_pretrained`.

Nothing has to be called, and neither package is imported: each learns of ours when it is, in either order.
"""

import importlib
import sys

from .._on_import import on_import
from .config import QuantMethod, TorchAoOpsConfig


def _register(package: str) -> None:
    """Imports our quantizer. A version of the package that it does not fit says so once it is asked for it, and not before."""
    try:
        importlib.import_module(f"torchao_ops.hf.{package}")
    except ImportError as error:
        reason = str(error)

        def refuse(*_, **__) -> None:
            version = sys.modules[package].__version__
            raise ImportError(f"torchao_ops: {package} must be a newer version, but got {version} ({reason})")

        auto = sys.modules[f"{package}.quantizers.auto"]
        auto.AUTO_QUANTIZATION_CONFIG_MAPPING[QuantMethod.TORCHAO_OPS.value] = TorchAoOpsConfig
        auto.AUTO_QUANTIZER_MAPPING[QuantMethod.TORCHAO_OPS.value] = refuse


on_import("transformers.quantizers.auto", lambda: _register("transformers"))
on_import("diffusers.quantizers.auto", lambda: _register("diffusers"))

__all__ = ["TorchAoOpsConfig"]
