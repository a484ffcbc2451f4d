"""Finds, loads and verifies libtorchao_ops.so."""

import os
from pathlib import Path

import torch

_FILE_NAME = "libtorchao_ops.so"
_PATH_VARIABLE = "TORCHAO_OPS_LIBRARY"

OPERATORS = (
    "capabilities",
    "fp8_quantize",
    "fp8_dequantize",
    "fp8_mm",
    "fp8_dynamic_mm",
    "fp8_scaled_mm",
    "int4_quantize",
    "int4_dequantize",
    "int4_mm",
    "int4_dynamic_mm",
    "int8_quantize",
    "int8_dequantize",
    "int8_mm",
    "int8_dynamic_mm",
    "nf4_quantize",
    "nf4_quantize_absmax",
    "nf4_dequantize",
    "nf4_mm",
    "nf4_mm_backward",
    "sparse24_prune",
    "sparse24_compress",
    "sparse24_decompress",
    "sparse24_mm",
    "sparse24_dynamic_mm",
    "sparse24_cusparselt_compress",
    "sparse24_cusparselt_mm",
    "sparse24_cusparselt_dynamic_mm",
)


def library_path() -> Path:
    """The library that `load` takes: $TORCHAO_OPS_LIBRARY; else the one next to this package (a wheel); else the one in
    build/ (a checkout).

    Raises ImportError where there is none.
    """
    from_environment = os.environ.get(_PATH_VARIABLE)
    if from_environment:
        path = Path(from_environment)
        if not path.is_file():
            raise ImportError(f"{_PATH_VARIABLE} must name the built {_FILE_NAME}, but got {path}, which is not a file")
        return path

    package = Path(__file__).resolve().parent
    candidates = (package / _FILE_NAME, package.parents[1] / "build" / _FILE_NAME)
    for path in candidates:
        if path.is_file():
            return path
    looked_at = " or ".join(str(path) for path in candidates)
    raise ImportError(
        f"{_FILE_NAME} was not found at {looked_at}: run `make build`, or set {_PATH_VARIABLE} to where it was built"
    )


def load() -> None:
    """Registers the operators of the library in torch.ops.torchao; loading it again does nothing.

    Raises ImportError if the library is not found, cannot be loaded, or lacks an operator that this package expects.
    """
    path = library_path()
    try:
        torch.ops.load_library(path)
    except OSError as error:
        raise ImportError(f"{path} could not be loaded into torch {torch.__version__}: {error}") from error
    # torch reports a schema that it cannot parse on stderr only and loads the rest.
    missing = [name for name in OPERATORS if not hasattr(torch.ops.torchao, name)]
    if missing:
        raise ImportError(
            f"{path} lacks the operators {', '.join(missing)}: it is older than this package, so run `make build` again"
        )
