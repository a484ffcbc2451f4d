"""What is installed here and what it can do on this machine: `python -m torchao_ops.info`."""

import argparse
import importlib.metadata
import json
import os
from collections.abc import Sequence
from typing import Any

import torch
from rich.table import Table

from ._command_line import config_names, new_console
from ._library import OPERATORS, library_path
from ._machine import device_name
from .config import config_from_alias
from .linear import linear_class_of
from .ops.capabilities import capabilities

# The packages with which this one works together.
_PACKAGES = ("transformers", "diffusers", "peft", "accelerate", "safetensors", "bitsandbytes", "torchao", "matplotlib")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m torchao_ops.info", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for a program, or a bug report")
    options = parser.parse_args(arguments)
    found = collect()
    if options.json:
        print(json.dumps(found, indent=1))
        return
    console = new_console()
    for heading, entries in found.items():
        table = Table(title=heading, title_justify="left", title_style="bold", show_header=False, box=None)
        for name, value in entries.items():
            table.add_row(f"  {name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        console.print(table, "")


def collect() -> dict[str, dict[str, Any]]:
    """By heading and name."""
    built = capabilities()
    cpu = torch.device("cpu")
    found = {
        "Library": {
            "file": str(library_path()),
            "version": built.pop("version"),
            "torch": f"{torch.__version__}; the library runs on {built.pop('torch_abi')} and newer",
            "operators": list(OPERATORS),
        },
        "Formats": {name: _format(name) for name in config_names()},
        "CPU": {
            "name": device_name(cpu),
            "instruction set in use": built.pop("isa"),
            "instruction sets that it has": built.pop("isa_available"),
            "bf16 dot product": _yes(built.pop("avx512_bf16")),
            "expanding of 16-bit numbers": _yes(built.pop("avx512_vbmi2")),
            "threads": torch.get_num_threads(),
        },
        "CUDA": {
            "built for": built.pop("cuda_archs") or "nothing: built without CUDA",
            **_cuda_devices(),
            "cuBLASLt": _loaded(built.pop("cublaslt")),
            "cuSPARSELt": _loaded(built.pop("cusparselt")),
        },
        "Environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith("TORCHAO_OPS_")}
        or {"TORCHAO_OPS_...": "none is set"},
        "Packages": {name: _version(name) for name in _PACKAGES},
    }
    found["Library"].update(built)  # what this page has no words for yet
    return found


def _format(name: str) -> str:
    config = config_from_alias(name)
    return f"{config!r}, {linear_class_of(config).__name__}"


def _cuda_devices() -> dict[str, str]:
    if not torch.cuda.is_available():
        return {"devices": "torch finds none"}
    return {
        f"cuda:{i}": "{}, compute capability {}.{}".format(device_name(torch.device("cuda", i)), *capability)
        for i in range(torch.cuda.device_count())
        for capability in [torch.cuda.get_device_capability(i)]
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _loaded(value: bool) -> str:
    return "loaded" if value else "not loaded"


if __name__ == "__main__":
    main()
