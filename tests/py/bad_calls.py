"""What tests of bad calls share: the call, and the ways to make it."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

FLOATS = "float32, float16 or bfloat16"


@dataclass
class BadCall:
    message: str  # without the operator
    arguments: dict[str, Any] = field(default_factory=dict)  # that replace those of a good call


def moved(arguments: dict[str, Any], device: str) -> dict[str, Any]:
    """A call's arguments on a device; those of bad calls are made on the CPU."""
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in arguments.items()}


def on_device(arguments: dict[str, Any]) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext(arguments)


def on_meta(arguments: dict[str, Any]) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext(moved(arguments, "meta"))


@contextlib.contextmanager
def in_fake_mode(arguments: dict[str, Any]):
    with FakeTensorMode() as mode:
        yield {
            name: mode.from_tensor(value) if isinstance(value, torch.Tensor) else value
            for name, value in arguments.items()
        }


WHERE = [on_device, on_meta, in_fake_mode]
