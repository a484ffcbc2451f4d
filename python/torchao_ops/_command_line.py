"""What the commands of the package have in common: options of the machine, and how it is called in a title."""

import argparse
import sys

import torch
from rich.console import Console

from ._machine import device_name
from .config import alias_of
from .linear import config_classes
from .ops.capabilities import capabilities

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu by default")
    parser.add_argument("--threads", type=int, help="of the CPU; torch's choice by default")
    parser.add_argument(
        "--dtype",
        choices=_DTYPES,
        default="bfloat16",
        help="of activations and dense weights; bfloat16 by default",
    )


def set_machine(options: argparse.Namespace) -> torch.device:
    """The device. Sets the number of threads, and makes a dtype of the option."""
    options.dtype = _DTYPES[options.dtype]
    if options.threads:
        torch.set_num_threads(options.threads)
    return torch.device(options.device)


def new_console() -> Console:
    """As wide as the terminal; wide enough for the tables in a file."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def title(device: torch.device) -> str:
    """The machine, as a result has to name it."""
    if device.type == "cuda":
        return f"{device_name(device)}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    return (
        f"{device_name(device)} ({capabilities()['isa']}), {threads} thread{'s' if threads != 1 else ''}, "
        f"torch {torch.__version__}"
    )


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def config_names() -> list[str]:
    """Short names of every config as it is by default."""
    return [alias_of(config_class()) for config_class in config_classes()]
