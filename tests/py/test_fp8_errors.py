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
from helpers import FP8_MM_OPERATORS, GRANULARITIES, Fp8Matrix, operator

pytestmark = pytest.mark.usefixtures("device")

E4M3FN, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
FLOATS8 = "float8_e4m3fn or float8_e5m2"


def mm_arguments() -> dict[str, Any]:
    """x [3, 150], a weight [140, 150] in blocks, a bias: a good call."""
    codes, scale = Fp8Matrix.random(140, 150, granularity="block").args
    return {"x": torch.randn(3, 150), "weight": codes, "weight_scale": scale, "bias": torch.randn(140)}


def dequantize_arguments() -> dict[str, Any]:
    codes, scale = Fp8Matrix.random(140, 150, E5M2, "block").args
    return {"input": codes, "scale": scale, "dtype": torch.float32}


def quantize_arguments() -> dict[str, Any]:
    return {"input": torch.randn(140, 150), "dtype": E5M2, "granularity": "block"}


def scaled_mm_arguments() -> dict[str, Any]:
    """a [140, 150] and b [7, 150], of different dtypes and granularities."""
    a, b = Fp8Matrix.random(140, 150, E5M2, "block"), Fp8Matrix.random(7, 150)
    names = ("a", "b", "scale_a", "scale_b", "bias", "out_dtype")
    return dict(zip(names, (a.codes, b.codes, a.scale, b.scale, torch.randn(7), torch.float32), strict=True))


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape).to(dtype)


def bad_matrices(codes: str, scale: str, rows: str, layout: str = "[N, K]") -> list[BadCall]:
    """Of a matrix [140, 150] whose tensors have these names."""
    shapes = f"[], [{rows}], [ceil({rows} / 128), ceil(K / 128)] or [{rows}, ceil(K / 128)]"
    wrong = f"{scale} must be {shapes} = [], [140], [2, 2] or [140, 2], but got"
    return [
        BadCall(f"{codes} must be {FLOATS8}, but got float32", {codes: zeros(140, 150)}),
        BadCall(f"{codes} must be {FLOATS8}, but got uint8", {codes: zeros(140, 150, dtype=torch.uint8)}),
        BadCall(f"{codes} must be {FLOATS8}, but got int8", {codes: zeros(140, 150, dtype=torch.int8)}),
        BadCall(
            f"{codes} must be {FLOATS8}, but got float8_e4m3fnuz", {codes: zeros(140, 150, dtype=torch.float8_e4m3fnuz)}
        ),
        BadCall(f"{codes} must be {layout}, but got [21000]", {codes: zeros(21000, dtype=E4M3FN)}),
        BadCall(f"{codes} must be {layout}, but got []", {codes: zeros(dtype=E4M3FN)}),
        BadCall(f"{codes} must be {layout}, but got [2, 70, 150]", {codes: zeros(2, 70, 150, dtype=E5M2)}),
        BadCall(f"{scale} must be {FLOATS}, but got int32", {scale: zeros(2, 2, dtype=torch.int32)}),
        BadCall(f"{scale} must be {FLOATS}, but got float64", {scale: zeros(2, 2, dtype=torch.float64)}),
        BadCall(f"{scale} must be {FLOATS}, but got float8_e4m3fn", {scale: zeros(2, 2, dtype=E4M3FN)}),
        BadCall(f"{wrong} [1]", {scale: zeros(1)}),
        BadCall(f"{wrong} [139]", {scale: zeros(139)}),
        BadCall(f"{wrong} [150]", {scale: zeros(150)}),
        BadCall(f"{wrong} [2, 3]", {scale: zeros(2, 3)}),
        BadCall(f"{wrong} [1, 2]", {scale: zeros(1, 2)}),
        BadCall(f"{wrong} [1, 1]", {scale: zeros(1, 1)}),
        BadCall(f"{wrong} [3, 2]", {scale: zeros(3, 2)}),
        BadCall(f"{wrong} [140, 1]", {scale: zeros(140, 1)}),
        BadCall(f"{wrong} [140, 150]", {scale: zeros(140, 150)}),
        BadCall(f"{wrong} [2, 2, 1]", {scale: zeros(2, 2, 1)}),
        BadCall(f"{codes} must be {FLOATS8}, but got int32", {codes: zeros(5, dtype=torch.int32), scale: zeros(1)}),
    ]


BAD_MM_CALLS = [
    BadCall(f"x must be {FLOATS}, but got int64", {"x": zeros(3, 150, dtype=torch.int64)}),
    BadCall(f"x must be {FLOATS}, but got float8_e4m3fn", {"x": zeros(3, 150, dtype=E4M3FN)}),
    BadCall(f"x must be {FLOATS}, but got float64", {"x": zeros(3, 150, dtype=torch.float64)}),
    BadCall(f"x must be {FLOATS}, but got complex64", {"x": zeros(3, 150, dtype=torch.complex64)}),
    BadCall("x must have at least 1 dimension, but got a 0-dimensional tensor", {"x": torch.tensor(1.0)}),
    BadCall("weight must be [N, K] = [140, 151], but got [140, 150]", {"x": zeros(3, 151)}),
    BadCall("weight must be [N, K] = [140, 0], but got [140, 150]", {"x": zeros(3, 0)}),
    *bad_matrices("weight", "weight_scale", "N"),
    BadCall(f"bias must be {FLOATS}, but got int64", {"bias": zeros(140, dtype=torch.int64)}),
    BadCall("bias must be [N] = [140], but got [139]", {"bias": zeros(139)}),
    BadCall("bias must be [N] = [140], but got []", {"bias": torch.tensor(1.0)}),
    BadCall("bias must be [N] = [140], but got [1, 140]", {"bias": zeros(1, 140)}),
    # The first of several mistakes, in the order of the arguments.
    BadCall(f"x must be {FLOATS}, but got int64", {"x": zeros(3, 7, dtype=torch.int64), "weight": zeros(5)}),
    BadCall(
        f"weight_scale must be {FLOATS}, but got int8", {"weight_scale": zeros(dtype=torch.int8), "bias": zeros(1)}
    ),
]

BAD_DEQUANTIZE_CALLS = [
    *bad_matrices("input", "scale", "N"),
    BadCall(f"dtype must be {FLOATS}, but got int8", {"dtype": torch.int8}),
    BadCall(f"dtype must be {FLOATS}, but got float64", {"dtype": torch.float64}),
    BadCall(f"dtype must be {FLOATS}, but got float8_e5m2", {"dtype": E5M2}),
]

BAD_QUANTIZE_CALLS = [
    BadCall(f"input must be {FLOATS}, but got float64", {"input": zeros(8, 70, dtype=torch.float64)}),
    BadCall(f"input must be {FLOATS}, but got float8_e4m3fn", {"input": zeros(8, 70, dtype=E4M3FN)}),
    BadCall("input must be [N, K], but got [560]", {"input": zeros(560)}),
    BadCall("input must be [N, K], but got []", {"input": torch.tensor(1.0)}),
    BadCall("input must be [N, K], but got [2, 4, 70]", {"input": zeros(2, 4, 70)}),
    BadCall(f"dtype must be {FLOATS8}, but got float32", {"dtype": torch.float32}),
    BadCall(f"dtype must be {FLOATS8}, but got int8", {"dtype": torch.int8}),
    BadCall(f"dtype must be {FLOATS8}, but got float8_e5m2fnuz", {"dtype": torch.float8_e5m2fnuz}),
    BadCall("granularity must be tensor, row, block or group, but got rows", {"granularity": "rows"}),
    BadCall("granularity must be tensor, row, block or group, but got ", {"granularity": ""}),
    BadCall("input must be [N, K], but got [5]", {"input": zeros(5), "dtype": torch.int8, "granularity": "x"}),
    BadCall(f"dtype must be {FLOATS8}, but got int8", {"dtype": torch.int8, "granularity": "x"}),
]

BAD_SCALED_MM_CALLS = [
    *bad_matrices("a", "scale_a", "M", "[M, K]"),
    BadCall(f"b must be {FLOATS8}, but got bfloat16", {"b": zeros(7, 150, dtype=torch.bfloat16)}),
    BadCall("b must be [N, K], but got [1050]", {"b": zeros(1050, dtype=E4M3FN)}),
    BadCall("b must be [N, K] = [7, 150], but got [7, 149]", {"b": zeros(7, 149, dtype=E4M3FN)}),
    BadCall("b must be [N, K] = [150, 150], but got [150, 7]", {"b": zeros(150, 7, dtype=E4M3FN)}),
    BadCall(f"scale_b must be {FLOATS}, but got float8_e5m2", {"scale_b": zeros(7, dtype=E5M2)}),
    BadCall(
        "scale_b must be [], [N], [ceil(N / 128), ceil(K / 128)] or [N, ceil(K / 128)] = [], [7], [1, 2] or [7, 2],"
        " but got [2, 2]",
        {"scale_b": zeros(2, 2)},
    ),
    BadCall(f"bias must be {FLOATS}, but got float8_e4m3fn", {"bias": zeros(7, dtype=E4M3FN)}),
    BadCall("bias must be [N] = [7], but got [140]", {"bias": zeros(140)}),
    BadCall("bias must be [N] = [7], but got [1, 7]", {"bias": zeros(1, 7)}),
    BadCall(f"out_dtype must be {FLOATS}, but got float64", {"out_dtype": torch.float64}),
    BadCall(f"out_dtype must be {FLOATS}, but got float8_e4m3fn", {"out_dtype": E4M3FN}),
    BadCall(f"scale_a must be {FLOATS}, but got int8", {"scale_a": zeros(dtype=torch.int8), "b": zeros(5)}),
    BadCall("bias must be [N] = [7], but got [1]", {"bias": zeros(1), "out_dtype": torch.int8}),
]

GOOD_CALLS = [
    *((op, mm_arguments) for op in FP8_MM_OPERATORS),
    ("fp8_dequantize", dequantize_arguments),
    ("fp8_scaled_mm", scaled_mm_arguments),
]

CASES = [
    pytest.param(op, good, bad, id=f"{op}-{bad.message}")
    for ops, good, calls in (
        (FP8_MM_OPERATORS, mm_arguments, BAD_MM_CALLS),
        (("fp8_dequantize",), dequantize_arguments, BAD_DEQUANTIZE_CALLS),
        (("fp8_quantize",), quantize_arguments, BAD_QUANTIZE_CALLS),
        (("fp8_scaled_mm",), scaled_mm_arguments, BAD_SCALED_MM_CALLS),
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
@pytest.mark.parametrize("op, good", GOOD_CALLS)
def test_the_good_call_that_the_bad_ones_vary_is_good(op, good, where):
    with where(good()) as arguments:
        assert operator(op)(*arguments.values()).dtype == torch.float32


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_granularity_is_good(granularity, where):
    scale = Fp8Matrix.random(140, 150, granularity=granularity).scale
    for op in FP8_MM_OPERATORS:
        with where({**mm_arguments(), "weight_scale": scale}) as arguments:
            assert operator(op)(*arguments.values()).shape == (3, 140)
    with where({"input": torch.randn(140, 150)}) as arguments:
        codes, scale_of_codes = operator("fp8_quantize")(arguments["input"], E5M2, granularity)
        assert (codes.shape, codes.dtype, scale_of_codes.shape) == ((140, 150), E5M2, scale.shape)


@pytest.mark.parametrize("op, good", GOOD_CALLS)
def test_tensors_on_different_devices(op, good):
    expect_one_device(op, good())


@pytest.mark.parametrize(
    "op, make_arguments, names",
    [
        *((op, mm_arguments, ("weight", "weight_scale")) for op in FP8_MM_OPERATORS),
        ("fp8_scaled_mm", scaled_mm_arguments, ("a", "b", "scale_a", "scale_b")),
    ],
)
def test_there_is_no_gradient_for_fp8_matrices(op, make_arguments, names):
    for name in names:
        arguments = make_arguments()
        expect_no_gradient_for(op, arguments, name)


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
def test_a_bad_call_inside_torch_compile_names_the_argument(op):
    arguments = {**mm_arguments(), "bias": torch.zeros(7)}
    expect_sentence_inside_torch_compile(op, arguments, "bias must be [N] = [140], but got [7]")
