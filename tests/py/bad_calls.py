"""What tests of bad calls share: the call, and the ways to make it."""

import contextlib
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from helpers import operator
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


def expect_sentence(op: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError) as error:
        operator(op)(**arguments)
    # The operator of a real tensor goes on with a C++ stack trace where torch is told to show one.
    assert str(error.value).splitlines()[0] == f"{op}: {message}"


def expect_one_device(op: str, good: dict[str, Any]) -> None:
    """All tensors must be where the first one is."""
    first, *others = [name for name, value in good.items() if isinstance(value, torch.Tensor)]
    device = good[first].device
    for other in others:
        elsewhere = {**good, other: good[other].to("meta")}
        expect_sentence(op, elsewhere, f"{other} must be on {first}'s device {device}, but got meta")
    elsewhere = {**good, first: good[first].to("meta")}
    expect_sentence(op, elsewhere, f"{others[0]} must be on {first}'s device meta, but got {device}")


def expect_no_gradient_for(op: str, arguments: dict[str, Any], name: str) -> None:
    arguments[name].requires_grad_()
    expect_sentence(op, arguments, f"{name} must not require grad, but got requires_grad=True")


def expect_sentence_inside_torch_compile(op: str, arguments: dict[str, Any], message: str) -> None:
    compiled = torch.compile(operator(op), fullgraph=True, backend="eager", dynamic=False)
    with pytest.raises(RuntimeError, match=re.escape(f"{op}: {message}")):
        compiled(**arguments)
