"""Every kind of bad call, with the exact sentence, from the operator, on the meta device and in fake mode."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from bad_calls import (
    FLOATS,
    WHERE,
    BadCall,
    expect_no_gradient_for,
    expect_one_device,
    expect_sentence,
    expect_sentence_inside_torch_compile,
    moved,
)
from helpers import MM_OPERATORS, Int4Weight, operator

pytestmark = pytest.mark.usefixtures("device")


def mm_arguments() -> dict[str, Any]:
    """x [3, 70], a weight [8, 70] in groups of 32, a bias: a good call."""
    weight = Int4Weight.random(8, 70, 32)
    return {
        "x": torch.randn(3, 70),
        "weight_packed": weight.packed,
        "weight_scale": weight.scale,
        "weight_zero_point": weight.zero_point,
        "group_size": 32,
        "bias": torch.randn(8),
    }


def dequantize_arguments() -> dict[str, Any]:
    arguments = mm_arguments()
    del arguments["x"], arguments["bias"]
    return {**arguments, "in_features": 70, "dtype": torch.float32}


def quantize_arguments() -> dict[str, Any]:
    return {"weight": torch.randn(8, 70), "group_size": 32, "symmetric": False}


def wrong_group_tensor(name: str, k: str) -> list[BadCall]:
    layout = f"[N, ceil({k} / group_size)]"
    return [
        BadCall(f"{name} must be {FLOATS}, but got int32", {name: torch.zeros(8, 3, dtype=torch.int32)}),
        BadCall(f"{name} must be {FLOATS}, but got float64", {name: torch.zeros(8, 3, dtype=torch.float64)}),
        BadCall(f"{name} must be {layout} = [8, 3], but got [8, 2]", {name: torch.zeros(8, 2)}),
        BadCall(f"{name} must be {layout} = [8, 3], but got [7, 3]", {name: torch.zeros(7, 3)}),
        BadCall(f"{name} must be {layout} = [8, 3], but got [24]", {name: torch.zeros(24)}),
        BadCall(f"{name} must be {layout} = [8, 3], but got []", {name: torch.tensor(1.0)}),
        BadCall(f"{name} must be {layout} = [8, 3], but got [8, 3, 1]", {name: torch.zeros(8, 3, 1)}),
    ]


def wrong_weight(k: str) -> list[BadCall]:
    layout = f"[N, ceil({k} / 2)]"

    def packed(*shape: int, dtype: torch.dtype = torch.uint8) -> dict[str, Any]:
        return {"weight_packed": torch.zeros(shape, dtype=dtype)}

    return [
        BadCall("group_size must be at least 1, but got 0", {"group_size": 0}),
        BadCall("group_size must be at least 1, but got -32", {"group_size": -32}),
        BadCall(f"group_size must be at least 1, but got {-(2**63)}", {"group_size": -(2**63)}),
        BadCall("weight_packed must be uint8, but got float32", packed(8, 35, dtype=torch.float32)),
        BadCall("weight_packed must be uint8, but got int8", packed(8, 35, dtype=torch.int8)),
        BadCall("weight_packed must be uint8, but got bool", packed(8, 35, dtype=torch.bool)),
        BadCall(f"weight_packed must be {layout}, but got [280]", packed(280)),
        BadCall(f"weight_packed must be {layout}, but got []", packed()),
        BadCall(f"weight_packed must be {layout}, but got [8, 5, 7]", packed(8, 5, 7)),
        BadCall(f"weight_packed must be {layout} = [8, 35], but got [8, 34]", packed(8, 34)),
        BadCall(f"weight_packed must be {layout} = [8, 35], but got [8, 70]", packed(8, 70)),
        *wrong_group_tensor("weight_scale", k),
        *wrong_group_tensor("weight_zero_point", k),
        # The scales disagree with the group size.
        BadCall(f"weight_scale must be [N, ceil({k} / group_size)] = [8, 2], but got [8, 3]", {"group_size": 64}),
        BadCall(
            f"weight_scale must be [N, ceil({k} / group_size)] = [8, 1], but got [8, 3]", {"group_size": 2**63 - 1}
        ),
    ]


BAD_MM_CALLS = [
    BadCall(f"x must be {FLOATS}, but got int64", {"x": torch.zeros(3, 70, dtype=torch.int64)}),
    BadCall(f"x must be {FLOATS}, but got float64", {"x": torch.zeros(3, 70, dtype=torch.float64)}),
    BadCall(f"x must be {FLOATS}, but got bool", {"x": torch.zeros(3, 70, dtype=torch.bool)}),
    BadCall(f"x must be {FLOATS}, but got complex64", {"x": torch.zeros(3, 70, dtype=torch.complex64)}),
    BadCall(f"x must be {FLOATS}, but got float8_e4m3fn", {"x": torch.zeros(3, 70).to(torch.float8_e4m3fn)}),
    BadCall("x must have at least 1 dimension, but got a 0-dimensional tensor", {"x": torch.tensor(1.0)}),
    BadCall("weight_packed must be [N, ceil(K / 2)] = [8, 36], but got [8, 35]", {"x": torch.zeros(3, 71)}),
    BadCall("weight_packed must be [N, ceil(K / 2)] = [8, 0], but got [8, 35]", {"x": torch.zeros(3, 0)}),
    *wrong_weight("K"),
    BadCall(f"bias must be {FLOATS}, but got int64", {"bias": torch.zeros(8, dtype=torch.int64)}),
    BadCall("bias must be [N] = [8], but got [7]", {"bias": torch.zeros(7)}),
    BadCall("bias must be [N] = [8], but got [1]", {"bias": torch.zeros(1)}),
    BadCall("bias must be [N] = [8], but got []", {"bias": torch.tensor(1.0)}),
    BadCall("bias must be [N] = [8], but got [1, 8]", {"bias": torch.zeros(1, 8)}),
    # The first of several mistakes, in the order of the arguments.
    BadCall(f"x must be {FLOATS}, but got int64", {"x": torch.zeros(3, 7, dtype=torch.int64), "group_size": 0}),
    BadCall(
        "weight_packed must be uint8, but got int32",
        {"weight_packed": torch.zeros(8, 1, dtype=torch.int32), "weight_scale": torch.zeros(1), "bias": torch.zeros(1)},
    ),
    BadCall(
        "weight_scale must be [N, ceil(K / group_size)] = [8, 3], but got [1]",
        {"weight_scale": torch.zeros(1), "weight_zero_point": torch.zeros(1), "bias": torch.zeros(1)},
    ),
]

BAD_DEQUANTIZE_CALLS = [
    *wrong_weight("in_features"),
    BadCall("in_features must be at least 0, but got -1", {"in_features": -1}),
    BadCall("weight_packed must be [N, ceil(in_features / 2)] = [8, 36], but got [8, 35]", {"in_features": 71}),
    BadCall(f"dtype must be {FLOATS}, but got int8", {"dtype": torch.int8}),
    BadCall(f"dtype must be {FLOATS}, but got float64", {"dtype": torch.float64}),
    BadCall("group_size must be at least 1, but got 0", {"group_size": 0, "in_features": -1}),
]

BAD_QUANTIZE_CALLS = [
    BadCall(f"weight must be {FLOATS}, but got float64", {"weight": torch.zeros(8, 70, dtype=torch.float64)}),
    BadCall(f"weight must be {FLOATS}, but got uint8", {"weight": torch.zeros(8, 70, dtype=torch.uint8)}),
    BadCall("weight must be [N, K], but got [560]", {"weight": torch.zeros(560)}),
    BadCall("weight must be [N, K], but got []", {"weight": torch.tensor(1.0)}),
    BadCall("weight must be [N, K], but got [2, 4, 70]", {"weight": torch.zeros(2, 4, 70)}),
    BadCall("group_size must be at least 1, but got 0", {"group_size": 0}),
    BadCall("group_size must be at least 1, but got -1", {"group_size": -1}),
    BadCall("weight must be [N, K], but got [560]", {"weight": torch.zeros(560), "group_size": 0}),
]

CASES = [
    pytest.param(op, good, bad, id=f"{op}-{bad.message}")
    for ops, good, calls in (
        (MM_OPERATORS, mm_arguments, BAD_MM_CALLS),
        (("int4_dequantize",), dequantize_arguments, BAD_DEQUANTIZE_CALLS),
        (("int4_quantize",), quantize_arguments, BAD_QUANTIZE_CALLS),
    )
    for op in ops
    for bad in calls
]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("op, good, bad", CASES)
def test_a_bad_call_gets_its_sentence(op: str, good: Callable[[], dict[str, Any]], bad: BadCall, where, device):
    with where(moved({**good(), **bad.arguments}, device)) as arguments:
        expect_sentence(op, arguments, bad.message)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("good, ops", [(mm_arguments, MM_OPERATORS), (dequantize_arguments, ("int4_dequantize",))])
def test_the_good_call_that_the_bad_ones_vary_is_good(good, ops, where):
    for op in ops:
        with where(good()) as arguments:
            assert operator(op)(*arguments.values()).dtype == torch.float32


@pytest.mark.parametrize("op", [*MM_OPERATORS, "int4_dequantize"])
def test_tensors_on_different_devices(op):
    expect_one_device(op, dequantize_arguments() if op == "int4_dequantize" else mm_arguments())


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("name", ["weight_scale", "weight_zero_point"])
def test_there_is_no_gradient_for_the_weight(op, name):
    arguments = mm_arguments()
    expect_no_gradient_for(op, arguments, name)


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_a_bad_call_inside_torch_compile_names_the_argument(op):
    arguments = {**mm_arguments(), "bias": torch.zeros(7)}
    expect_sentence_inside_torch_compile(op, arguments, "bias must be [N] = [8], but got [7]")
