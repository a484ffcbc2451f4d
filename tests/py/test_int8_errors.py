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
from helpers import INT8_MM_OPERATORS, Int8Weight, operator

pytestmark = pytest.mark.usefixtures("device")


def mm_arguments() -> dict[str, Any]:
    """x [3, 70], a weight [8, 70] in groups of 32, a bias: a good call."""
    weight = Int8Weight.random(8, 70, 32)
    return {
        "x": torch.randn(3, 70),
        "weight": weight.codes,
        "weight_scale": weight.scale,
        "group_size": 32,
        "bias": torch.randn(8),
    }


def row_mm_arguments() -> dict[str, Any]:
    """The same with a scale a row."""
    return {**mm_arguments(), "weight_scale": torch.rand(8), "group_size": 0}


def dequantize_arguments() -> dict[str, Any]:
    arguments = mm_arguments()
    del arguments["x"], arguments["bias"]
    return {**arguments, "dtype": torch.float32}


def quantize_arguments() -> dict[str, Any]:
    return {"weight": torch.randn(8, 70), "group_size": 32}


def codes(*shape: int, dtype: torch.dtype = torch.int8) -> dict[str, Any]:
    return {"weight": torch.zeros(shape, dtype=dtype)}


def scale(*shape: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    return {"weight_scale": torch.zeros(shape, dtype=dtype)}


GROUPS = "weight_scale must be [N, ceil(K / group_size)]"

BAD_WEIGHTS = [
    BadCall("group_size must be at least 0, but got -1", {"group_size": -1}),
    BadCall(f"group_size must be at least 0, but got {-(2**63)}", {"group_size": -(2**63)}),
    BadCall("weight must be int8, but got float32", codes(8, 70, dtype=torch.float32)),
    BadCall("weight must be int8, but got uint8", codes(8, 70, dtype=torch.uint8)),
    BadCall("weight must be int8, but got int32", codes(8, 70, dtype=torch.int32)),
    BadCall("weight must be [N, K], but got [560]", codes(560)),
    BadCall("weight must be [N, K], but got []", codes()),
    BadCall("weight must be [N, K], but got [2, 4, 70]", codes(2, 4, 70)),
    BadCall(f"weight_scale must be {FLOATS}, but got int32", scale(8, 3, dtype=torch.int32)),
    BadCall(f"weight_scale must be {FLOATS}, but got float64", scale(8, 3, dtype=torch.float64)),
    BadCall(f"{GROUPS} = [8, 3], but got [8, 2]", scale(8, 2)),
    BadCall(f"{GROUPS} = [8, 3], but got [7, 3]", scale(7, 3)),
    BadCall(f"{GROUPS} = [8, 3], but got [24]", scale(24)),
    BadCall(f"{GROUPS} = [8, 3], but got []", scale()),
    BadCall(f"{GROUPS} = [8, 3], but got [8, 3, 1]", scale(8, 3, 1)),
    # The scales disagree with the group size.
    BadCall(f"{GROUPS} = [8, 2], but got [8, 3]", {"group_size": 64}),
    BadCall(f"{GROUPS} = [8, 1], but got [8, 3]", {"group_size": 2**63 - 1}),
    BadCall("weight_scale must be [N] = [8], but got [8, 3]", {"group_size": 0}),
    BadCall("weight_scale must be [N] = [8], but got [8, 1]", {"group_size": 0, **scale(8, 1)}),
    BadCall("weight_scale must be [N] = [8], but got [7]", {"group_size": 0, **scale(7)}),
]

BAD_MM_CALLS = [
    BadCall(f"x must be {FLOATS}, but got int64", {"x": torch.zeros(3, 70, dtype=torch.int64)}),
    BadCall(f"x must be {FLOATS}, but got int8", {"x": torch.zeros(3, 70, dtype=torch.int8)}),
    BadCall(f"x must be {FLOATS}, but got float64", {"x": torch.zeros(3, 70, dtype=torch.float64)}),
    BadCall(f"x must be {FLOATS}, but got complex64", {"x": torch.zeros(3, 70, dtype=torch.complex64)}),
    BadCall("x must have at least 1 dimension, but got a 0-dimensional tensor", {"x": torch.tensor(1.0)}),
    BadCall("weight must be [N, K] = [8, 71], but got [8, 70]", {"x": torch.zeros(3, 71)}),
    BadCall("weight must be [N, K] = [8, 0], but got [8, 70]", {"x": torch.zeros(3, 0)}),
    *BAD_WEIGHTS,
    BadCall(f"bias must be {FLOATS}, but got int64", {"bias": torch.zeros(8, dtype=torch.int64)}),
    BadCall("bias must be [N] = [8], but got [7]", {"bias": torch.zeros(7)}),
    BadCall("bias must be [N] = [8], but got []", {"bias": torch.tensor(1.0)}),
    BadCall("bias must be [N] = [8], but got [1, 8]", {"bias": torch.zeros(1, 8)}),
    # The first of several mistakes, in the order of the arguments.
    BadCall(f"x must be {FLOATS}, but got int64", {"x": torch.zeros(3, 7, dtype=torch.int64), "group_size": -1}),
    BadCall("group_size must be at least 0, but got -1", {"group_size": -1, **codes(8, 1, dtype=torch.int32)}),
    BadCall("weight must be int8, but got int32", {**codes(8, 1, dtype=torch.int32), **scale(1)}),
    BadCall(f"{GROUPS} = [8, 3], but got [1]", {**scale(1), "bias": torch.zeros(1)}),
]

BAD_DEQUANTIZE_CALLS = [
    *BAD_WEIGHTS,
    BadCall(f"dtype must be {FLOATS}, but got int8", {"dtype": torch.int8}),
    BadCall(f"dtype must be {FLOATS}, but got float64", {"dtype": torch.float64}),
]

BAD_QUANTIZE_CALLS = [
    BadCall(f"weight must be {FLOATS}, but got float64", {"weight": torch.zeros(8, 70, dtype=torch.float64)}),
    BadCall(f"weight must be {FLOATS}, but got int8", {"weight": torch.zeros(8, 70, dtype=torch.int8)}),
    BadCall("weight must be [N, K], but got [560]", {"weight": torch.zeros(560)}),
    BadCall("weight must be [N, K], but got []", {"weight": torch.tensor(1.0)}),
    BadCall("weight must be [N, K], but got [2, 4, 70]", {"weight": torch.zeros(2, 4, 70)}),
    BadCall("group_size must be at least 0, but got -1", {"group_size": -1}),
    BadCall("weight must be [N, K], but got [560]", {"weight": torch.zeros(560), "group_size": -1}),
]

CASES = [
    pytest.param(op, good, bad, id=f"{op}-{bad.message}")
    for ops, good, calls in (
        (INT8_MM_OPERATORS, mm_arguments, BAD_MM_CALLS),
        (("int8_dequantize",), dequantize_arguments, BAD_DEQUANTIZE_CALLS),
        (("int8_quantize",), quantize_arguments, BAD_QUANTIZE_CALLS),
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
@pytest.mark.parametrize(
    "good, ops",
    [
        (mm_arguments, INT8_MM_OPERATORS),
        (row_mm_arguments, INT8_MM_OPERATORS),
        (dequantize_arguments, ("int8_dequantize",)),
    ],
)
def test_the_good_call_that_the_bad_ones_vary_is_good(good, ops, where):
    for op in ops:
        with where(good()) as arguments:
            assert operator(op)(*arguments.values()).dtype == torch.float32


@pytest.mark.parametrize("op", [*INT8_MM_OPERATORS, "int8_dequantize"])
def test_tensors_on_different_devices(op):
    expect_one_device(op, dequantize_arguments() if op == "int8_dequantize" else mm_arguments())


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
def test_there_is_no_gradient_for_the_weight(op):
    arguments = mm_arguments()
    expect_no_gradient_for(op, arguments, "weight_scale")


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
def test_a_bad_call_inside_torch_compile_names_the_argument(op):
    arguments = {**mm_arguments(), "bias": torch.zeros(7)}
    expect_sentence_inside_torch_compile(op, arguments, "bias must be [N] = [8], but got [7]")
