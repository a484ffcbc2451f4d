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
from helpers import SPARSE24_MM_OPERATORS, Sparse24Weight, operator

pytestmark = pytest.mark.usefixtures("device")

VALUES = "float32, float16, bfloat16, int8 or float8_e4m3fn"


def mm_arguments() -> dict[str, Any]:
    """x [3, 70], an int8 weight [8, 70], a bias: a good call of both products."""
    weight = Sparse24Weight.random(8, 70, torch.int8)
    return {
        "x": torch.randn(3, 70),
        "values": weight.values,
        "bitmask": weight.bitmask,
        "weight_scale": weight.scale,
        "bias": torch.randn(8),
    }


def unscaled_mm_arguments() -> dict[str, Any]:
    return {**mm_arguments(), "values": torch.randn(8, 36), "weight_scale": None}


def decompress_arguments() -> dict[str, Any]:
    arguments = mm_arguments()
    return {"values": arguments["values"], "bitmask": arguments["bitmask"], "in_features": 70}


def compress_arguments() -> dict[str, Any]:
    return {"weight": torch.randn(8, 70), "mask": torch.zeros(8, 70, dtype=torch.bool)}


def prune_arguments() -> dict[str, Any]:
    return {"weight": torch.randn(8, 70)}


def values(*shape: int, dtype: torch.dtype = torch.int8) -> dict[str, Any]:
    return {"values": torch.zeros(shape, dtype=dtype)}


def bitmask(*shape: int, dtype: torch.dtype = torch.uint8) -> dict[str, Any]:
    return {"bitmask": torch.zeros(shape, dtype=dtype)}


def scale(*shape: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    return {"weight_scale": torch.zeros(shape, dtype=dtype)}


VALUE_COLUMNS, BITMASK_COLUMNS = "[N, 2 * ceil(K / 4)]", "[N, ceil(K / 8)]"

BAD_WEIGHTS = [
    BadCall(f"values must be {VALUE_COLUMNS}, but got [288]", values(288)),
    BadCall(f"values must be {VALUE_COLUMNS}, but got []", values()),
    BadCall(f"values must be {VALUE_COLUMNS}, but got [8, 36, 1]", values(8, 36, 1)),
    BadCall(f"values must be {VALUE_COLUMNS} = [8, 36], but got [8, 35]", values(8, 35)),
    BadCall(f"values must be {VALUE_COLUMNS} = [8, 36], but got [8, 70]", values(8, 70)),
    BadCall("bitmask must be uint8, but got bool", bitmask(8, 9, dtype=torch.bool)),
    BadCall("bitmask must be uint8, but got int8", bitmask(8, 9, dtype=torch.int8)),
    BadCall(f"bitmask must be {BITMASK_COLUMNS} = [8, 9], but got [8, 8]", bitmask(8, 8)),
    BadCall(f"bitmask must be {BITMASK_COLUMNS} = [8, 9], but got [7, 9]", bitmask(7, 9)),
    BadCall(f"bitmask must be {BITMASK_COLUMNS} = [8, 9], but got [72]", bitmask(72)),
    BadCall(f"bitmask must be {BITMASK_COLUMNS} = [8, 9], but got []", bitmask()),
    # The first of several mistakes, in the order of the arguments.
    BadCall(f"values must be {VALUE_COLUMNS} = [8, 36], but got [8, 1]", {**values(8, 1), **bitmask(1)}),
]

BAD_VALUES = [
    BadCall(f"values must be {VALUES}, but got float64", values(8, 36, dtype=torch.float64)),
    BadCall(f"values must be {VALUES}, but got uint8", values(8, 36, dtype=torch.uint8)),
    BadCall(f"values must be {VALUES}, but got float8_e5m2", values(8, 36, dtype=torch.float8_e5m2)),
    BadCall(f"values must be {VALUES}, but got int32", {**values(8, 1, dtype=torch.int32), **bitmask(1)}),
]

BAD_MM_CALLS = [
    BadCall(f"x must be {FLOATS}, but got int64", {"x": torch.zeros(3, 70, dtype=torch.int64)}),
    BadCall(f"x must be {FLOATS}, but got int8", {"x": torch.zeros(3, 70, dtype=torch.int8)}),
    BadCall(f"x must be {FLOATS}, but got float64", {"x": torch.zeros(3, 70, dtype=torch.float64)}),
    BadCall(f"x must be {FLOATS}, but got float8_e4m3fn", {"x": torch.zeros(3, 70, dtype=torch.float8_e4m3fn)}),
    BadCall("x must have at least 1 dimension, but got a 0-dimensional tensor", {"x": torch.tensor(1.0)}),
    BadCall(f"values must be {VALUE_COLUMNS} = [8, 38], but got [8, 36]", {"x": torch.zeros(3, 73)}),
    BadCall(f"values must be {VALUE_COLUMNS} = [8, 0], but got [8, 36]", {"x": torch.zeros(3, 0)}),
    *BAD_WEIGHTS,
    BadCall(f"weight_scale must be {FLOATS}, but got int32", scale(8, dtype=torch.int32)),
    BadCall(f"weight_scale must be {FLOATS}, but got float64", scale(8, dtype=torch.float64)),
    BadCall("weight_scale must be [N] = [8], but got [7]", scale(7)),
    BadCall("weight_scale must be [N] = [8], but got []", scale()),
    BadCall("weight_scale must be [N] = [8], but got [8, 1]", scale(8, 1)),
    BadCall(f"bias must be {FLOATS}, but got int64", {"bias": torch.zeros(8, dtype=torch.int64)}),
    BadCall("bias must be [N] = [8], but got [7]", {"bias": torch.zeros(7)}),
    BadCall("bias must be [N] = [8], but got []", {"bias": torch.tensor(1.0)}),
    BadCall("bias must be [N] = [8], but got [1, 8]", {"bias": torch.zeros(1, 8)}),
    # The first of several mistakes, in the order of the arguments.
    BadCall(f"x must be {FLOATS}, but got int64", {"x": torch.zeros(3, 7, dtype=torch.int64), **values(1)}),
    BadCall(f"bitmask must be {BITMASK_COLUMNS} = [8, 9], but got [1]", {**bitmask(1), **scale(1)}),
    BadCall("weight_scale must be [N] = [8], but got [1]", {**scale(1), "bias": torch.zeros(1)}),
]

# Of x in which K is 73, bitmasks have another size and values the same.
SAME_QUADS = BadCall(
    f"bitmask must be {BITMASK_COLUMNS} = [8, 10], but got [8, 9]", {"x": torch.zeros(3, 73), **values(8, 38)}
)

BAD_STATIC_MM_CALLS = [
    *BAD_VALUES,
    SAME_QUADS,
    BadCall("weight_scale must be given with int8 values, but got None", {"weight_scale": None}),
    BadCall(
        "weight_scale must be given with float8_e4m3fn values, but got None",
        {**values(8, 1, dtype=torch.float8_e4m3fn), "weight_scale": None},
    ),
]

BAD_DYNAMIC_MM_CALLS = [
    BadCall(f"values must be int8 or float8_e4m3fn, but got {name}", values(8, 36, dtype=dtype))
    for name, dtype in (
        ("float32", torch.float32),
        ("float16", torch.float16),
        ("bfloat16", torch.bfloat16),
        ("uint8", torch.uint8),
        ("float8_e5m2", torch.float8_e5m2),
    )
]

BAD_DECOMPRESS_CALLS = [
    BadCall("in_features must be at least 0, but got -1", {"in_features": -1}),
    BadCall("in_features must be at least 0, but got -1", {"in_features": -1, **values(1, dtype=torch.int32)}),
    BadCall(f"values must be {VALUE_COLUMNS} = [8, 38], but got [8, 36]", {"in_features": 73}),
    BadCall(f"bitmask must be {BITMASK_COLUMNS} = [8, 8], but got [8, 9]", {"in_features": 63, **values(8, 32)}),
    BadCall(f"values must be {VALUE_COLUMNS} = [8, {2**62}], but got [8, 36]", {"in_features": 2**63 - 1}),
    *BAD_VALUES,
    *BAD_WEIGHTS,
]

BAD_WEIGHT_ARGUMENTS = [
    BadCall(f"weight must be {VALUES}, but got float64", {"weight": torch.zeros(8, 70, dtype=torch.float64)}),
    BadCall(f"weight must be {VALUES}, but got int32", {"weight": torch.zeros(8, 70, dtype=torch.int32)}),
    BadCall(f"weight must be {VALUES}, but got bool", {"weight": torch.zeros(560, dtype=torch.bool)}),
    BadCall("weight must be [N, K], but got [560]", {"weight": torch.zeros(560)}),
    BadCall("weight must be [N, K], but got []", {"weight": torch.tensor(1.0)}),
    BadCall("weight must be [N, K], but got [2, 4, 70]", {"weight": torch.zeros(2, 4, 70)}),
]

BAD_COMPRESS_CALLS = [
    *BAD_WEIGHT_ARGUMENTS,
    BadCall("mask must be bool, but got uint8", {"mask": torch.zeros(8, 70, dtype=torch.uint8)}),
    BadCall("mask must be bool, but got float32", {"mask": torch.zeros(8, 1)}),
    BadCall("mask must be [N, K] = [8, 70], but got [8, 71]", {"mask": torch.zeros(8, 71, dtype=torch.bool)}),
    BadCall("mask must be [N, K] = [8, 70], but got [560]", {"mask": torch.zeros(560, dtype=torch.bool)}),
]

CASES = [
    pytest.param(op, good, bad, id=f"{op}-{bad.message}")
    for ops, good, calls in (
        (SPARSE24_MM_OPERATORS, mm_arguments, BAD_MM_CALLS),
        (("sparse24_mm",), mm_arguments, BAD_STATIC_MM_CALLS),
        (("sparse24_dynamic_mm",), mm_arguments, BAD_DYNAMIC_MM_CALLS),
        (("sparse24_decompress",), decompress_arguments, BAD_DECOMPRESS_CALLS),
        (("sparse24_compress",), compress_arguments, BAD_COMPRESS_CALLS),
        (("sparse24_prune",), prune_arguments, BAD_WEIGHT_ARGUMENTS),
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
        (mm_arguments, SPARSE24_MM_OPERATORS),
        (unscaled_mm_arguments, ("sparse24_mm",)),
        (decompress_arguments, ("sparse24_decompress",)),
        (compress_arguments, ("sparse24_compress",)),
        (prune_arguments, ("sparse24_prune",)),
    ],
)
def test_the_good_call_that_the_bad_ones_vary_is_good(good, ops, where):
    for op in ops:
        with where(good()) as arguments:
            operator(op)(*arguments.values())


GOOD = {
    **dict.fromkeys(SPARSE24_MM_OPERATORS, mm_arguments),
    "sparse24_decompress": decompress_arguments,
    "sparse24_compress": compress_arguments,
}


@pytest.mark.parametrize("op", GOOD)
def test_tensors_on_different_devices(op):
    expect_one_device(op, GOOD[op]())


# ---- more than two of four ----


def too_many(op: str, argument: str, row: int, elements: str) -> str:
    return (
        f"{op}: {argument} must keep at most two of each four elements of a row, but row {row} keeps more of the"
        f" elements {elements}"
    )


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_a_weight_that_is_not_2_to_4_sparse(threads):
    torch.set_num_threads(threads)
    weight = torch.zeros(1000, 700)
    weight[3, 8:11] = torch.tensor([1.0, -1.0, 2.0])
    weight[5:, :3] = 1
    weight[3, 100:104] = 1
    for dense in (weight, weight.to(torch.float8_e4m3fn), weight.to(torch.int8)):
        with pytest.raises(RuntimeError) as error:
            torch.ops.torchao.sparse24_compress(dense)
        assert str(error.value).splitlines()[0] == too_many("sparse24_compress", "weight", 3, "8 to 11")


def test_the_last_elements_of_a_row_may_be_too_many():
    weight = torch.ones(2, 7)
    weight[:, 1:3] = 0
    for op, arguments in (("weight", (weight,)), ("mask", (weight, weight != 0))):
        with pytest.raises(RuntimeError) as error:
            torch.ops.torchao.sparse24_compress(*arguments)
        assert str(error.value).splitlines()[0] == too_many("sparse24_compress", op, 0, "4 to 6")


def test_nan_is_not_a_zero():
    weight = torch.tensor([[1.0, float("nan"), float("nan"), 0.0]])
    with pytest.raises(RuntimeError) as error:
        torch.ops.torchao.sparse24_compress(weight)
    assert str(error.value).splitlines()[0] == too_many("sparse24_compress", "weight", 0, "0 to 3")


@pytest.mark.parametrize("op", [*SPARSE24_MM_OPERATORS, "sparse24_decompress"])
@pytest.mark.parametrize("rows", [1, 40])
def test_a_bitmask_that_keeps_too_many(op, rows, device):
    """On CUDA nobody waits for the device to tell, but for the offline operators: there, products are NaN."""
    weight = Sparse24Weight.random(30, 130, torch.int8)
    for n, byte in ((17, 0b01110000), (20, 0b1111)):
        weight.bitmask[n, 3] = byte
    if op == "sparse24_decompress" or device == "cpu":
        arguments = (weight.values, weight.bitmask, 130)
        if op != "sparse24_decompress":
            arguments = (torch.randn(rows, 130), *weight.mm_args)
        with pytest.raises(RuntimeError) as error:
            operator(op)(*arguments)
        assert str(error.value).splitlines()[0] == too_many(op, "bitmask", 17, "28 to 31")
        return
    y = operator(op)(torch.randn(rows, 130), *weight.mm_args).cpu()
    assert y[:, [17, 20]].isnan().all()
    assert y.isfinite().sum() == rows * 28


@pytest.mark.parametrize("op", SPARSE24_MM_OPERATORS)
@pytest.mark.parametrize("name", ["values", "weight_scale"])
def test_there_is_no_gradient_for_the_weight(op, name):
    arguments = mm_arguments()
    arguments["values"] = arguments["values"].to(torch.float8_e4m3fn)
    expect_no_gradient_for(op, arguments, name)


@pytest.mark.parametrize("op", SPARSE24_MM_OPERATORS)
def test_a_bad_call_inside_torch_compile_names_the_argument(op):
    arguments = {**mm_arguments(), "bias": torch.zeros(7)}
    expect_sentence_inside_torch_compile(op, arguments, "bias must be [N] = [8], but got [7]")
