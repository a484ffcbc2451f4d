"""What the commands of the package have in common: types of options, and how the machine is called in a title."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from rich.console import Console

from ._machine import device_name
from .config import alias_of, config_from_alias
from .linear import config_classes
from .ops.capabilities import capabilities

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", type=_device, default=torch.device("cpu"), help="cpu by default")
    parser.add_argument("--threads", type=at_least(1), help="of the CPU; torch's choice by default")
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
    return options.device


def at_least(minimum: int) -> Callable[[str], int]:
    """The type of an option that is a number."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}, but got {text!r}")
        return int(text)

    return number


def format_or(*others: str) -> Callable[[str], str]:
    """The type of an option that is a short name of a config, or one of some other names."""

    def name(text: str) -> str:
        if text not in others:
            try:
                config_from_alias(text)
            except ValueError:
                known = ", ".join((*config_names(), *others))
                raise argparse.ArgumentTypeError(
                    f"must be a short name of a config, such as {known}, but got {text!r}"
                ) from None
        return text

    return name


def _device(text: str) -> torch.device:
    try:
        device = torch.device(text)
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"must be a device, such as cpu or cuda:0, but got {text!r}") from None
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= found:
        devices = f"{found} CUDA device{'s' if found != 1 else ''}" if found else "no CUDA device"
        raise argparse.ArgumentTypeError(f"must be a device that is there, but got {text!r}: torch finds {devices}")
    return device


@contextlib.contextmanager
def no_warnings_of_pruning() -> Iterator[None]:
    """For random weights: nobody needs to hear what it costs to prune these."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pruned by magnitude")
        yield


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
