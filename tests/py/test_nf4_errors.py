"""Every kind of bad call, with the exact sentence, from the operator, on the meta device and in fake mode."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchao_ops
from bad_calls import (
    FLOATS,
    WHERE,
    BadCall,
    expect_no_gradient_for,
    expect_sentence,
    expect_sentence_inside_torch_compile,
    in_fake_mode,
    moved,
    on_device,
)
from helpers import Nf4Weight, operator

pytestmark = pytest.mark.usefixtures("device")

LARGEST = 2**63 - 1


def weight_arguments(doubly_quantized: bool) -> dict[str, Any]:
    """A weight [8, 70]: 280 bytes, 9 blocks of 64, 3 of 4 of these."""
    weight = Nf4Weight.random(8, 70, 64, torch.uint8 if doubly_quantized else torch.float32, nested_block_size=4)
    return {
        "weight_packed": weight.packed,
        "absmax": weight.absmax,
        "block_size": 64,
        "absmax_code": weight.absmax_code,
        "nested_absmax": weight.nested_absmax,
        "absmax_offset": weight.absmax_offset,
        "nested_block_size": 4,
    }


def mm_arguments(doubly_quantized: bool = False) -> dict[str, Any]:
    """A good call."""
    weight = weight_arguments(doubly_quantized)
    return {"x": torch.randn(3, 70), **weight, "out_features": 8, "bias": torch.randn(8)}


def backward_arguments(doubly_quantized: bool = False) -> dict[str, Any]:
    return {"grad_output": torch.randn(3, 8), **weight_arguments(doubly_quantized), "in_features": 70}


def dequantize_arguments(doubly_quantized: bool = False) -> dict[str, Any]:
    return {**weight_arguments(doubly_quantized), "shape": [8, 70], "dtype": torch.float32}


def out_arguments(doubly_quantized: bool = False) -> dict[str, Any]:
    return {**weight_arguments(doubly_quantized), "shape": [8, 70], "out": torch.empty(8, 70)}


def quantize_arguments() -> dict[str, Any]:
    return {"weight": torch.randn(8, 70), "block_size": 64}


def quantize_absmax_arguments() -> dict[str, Any]:
    return {"absmax": torch.rand(9), "nested_block_size": 4}


def doubly(good: Callable[..., dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    return lambda: good(doubly_quantized=True)


def zeros(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    return {name: torch.zeros(shape, dtype=dtype)}


POWER_OF_TWO = "block_size must be a power of two of at least 32, but got"
BAD_BLOCK_SIZES = [
    BadCall(f"{POWER_OF_TWO} {size}", {"block_size": size}) for size in (0, 1, 16, 48, 63, -64, -(2**63), LARGEST)
]
BAD_NESTED_BLOCK_SIZES = [
    BadCall("nested_block_size must be at least 1, but got 0", {"nested_block_size": 0}),
    BadCall(f"nested_block_size must be at least 1, but got {-(2**63)}", {"nested_block_size": -(2**63)}),
]


def wrong_weight(count: str) -> list[BadCall]:
    packed, absmax = f"weight_packed must be [ceil({count} / 2)", f"absmax must be [ceil({count} / block_size)]"
    return [
        *BAD_BLOCK_SIZES,
        *BAD_NESTED_BLOCK_SIZES,
        *(
            BadCall(f"weight_packed must be uint8, but got {name}", zeros("weight_packed", 280, dtype=dtype))
            for name, dtype in (("float32", torch.float32), ("int8", torch.int8), ("bool", torch.bool))
        ),
        *(
            BadCall(f"{packed}] = [280], but got {list(shape)}", zeros("weight_packed", *shape, dtype=torch.uint8))
            for shape in ((279,), (281,), (560,), (8, 35), (1, 280), (280, 1, 1), ())
        ),
        BadCall(f"{packed}, 1] = [280, 1], but got [279, 1]", zeros("weight_packed", 279, 1, dtype=torch.uint8)),
        BadCall(f"{absmax} = [18], but got [9]", {"block_size": 32}),
        BadCall(f"{absmax} = [1], but got [9]", {"block_size": 2**62}),
    ]


def wrong_plain_absmax(count: str) -> list[BadCall]:
    absmax = f"absmax must be [ceil({count} / block_size)]"
    return [
        *(
            BadCall(
                f"absmax must be float32, float16, bfloat16 or uint8, but got {name}", zeros("absmax", 9, dtype=dtype)
            )
            for name, dtype in (("float64", torch.float64), ("int8", torch.int8), ("int32", torch.int32))
        ),
        *(
            BadCall(f"{absmax} = [9], but got {list(shape)}", zeros("absmax", *shape))
            for shape in ((8,), (10,), (9, 1), (1, 9), ())
        ),
        *(
            BadCall(f"{name} must be None unless absmax is uint8, but got a tensor", zeros(name, *shape))
            for name, shape in (("absmax_code", (256,)), ("nested_absmax", (3,)), ("absmax_offset", ()))
        ),
        BadCall("absmax_code must be given with a uint8 absmax, but got None", zeros("absmax", 9, dtype=torch.uint8)),
    ]


def wrong_doubly_quantized_absmax(count: str) -> list[BadCall]:
    nested = "nested_absmax must be [ceil(blocks / nested_block_size)]"
    names = ("absmax_code", "nested_absmax", "absmax_offset")
    return [
        *(BadCall(f"{name} must be given with a uint8 absmax, but got None", {name: None}) for name in names),
        BadCall(
            "absmax_code must be None unless absmax is uint8, but got a tensor", zeros("absmax", 9, dtype=torch.float16)
        ),
        BadCall(
            f"absmax must be [ceil({count} / block_size)] = [9], but got [8]", zeros("absmax", 8, dtype=torch.uint8)
        ),
        *(
            BadCall(f"{name} must be float32, but got {dtype}", zeros(name, *shape, dtype=getattr(torch, dtype)))
            for name, shape in (("absmax_code", (256,)), ("nested_absmax", (3,)), ("absmax_offset", ()))
            for dtype in ("float16", "bfloat16", "float64", "uint8")
        ),
        *(
            BadCall(f"absmax_code must be [256] = [256], but got {list(shape)}", zeros("absmax_code", *shape))
            for shape in ((255,), (16,), (1, 256), ())
        ),
        *(
            BadCall(f"{nested} = [3], but got {list(shape)}", zeros("nested_absmax", *shape))
            for shape in ((2,), (4,), (3, 1), ())
        ),
        BadCall(f"{nested} = [9], but got [3]", {"nested_block_size": 1}),
        BadCall(f"{nested} = [1], but got [3]", {"nested_block_size": LARGEST}),
        *(
            BadCall(f"absmax_offset must be [] or [1], but got {list(shape)}", zeros("absmax_offset", *shape))
            for shape in ((0,), (2,), (1, 1))
        ),
        # The first of several mistakes, in the order of the arguments.
        BadCall(
            "absmax_code must be float32, but got float64",
            {**zeros("absmax_code", 1, dtype=torch.float64), **zeros("nested_absmax", 1), **zeros("absmax_offset", 2)},
        ),
    ]


BAD_MM_CALLS = [
    BadCall(f"x must be {FLOATS}, but got int64", zeros("x", 3, 70, dtype=torch.int64)),
    BadCall(f"x must be {FLOATS}, but got float64", zeros("x", 3, 70, dtype=torch.float64)),
    BadCall(f"x must be {FLOATS}, but got complex64", zeros("x", 3, 70, dtype=torch.complex64)),
    BadCall("x must have at least 1 dimension, but got a 0-dimensional tensor", zeros("x")),
    BadCall("out_features must be at least 0, but got -1", {"out_features": -1}),
    BadCall(f"out_features must be at most {LARGEST // 70}, but got {2**60}", {"out_features": 2**60}),
    BadCall("weight_packed must be [ceil(out_features * K / 2)] = [284], but got [280]", zeros("x", 3, 71)),
    BadCall("weight_packed must be [ceil(out_features * K / 2)] = [0], but got [280]", zeros("x", 3, 0)),
    BadCall("weight_packed must be [ceil(out_features * K / 2)] = [245], but got [280]", {"out_features": 7}),
    BadCall("weight_packed must be [ceil(out_features * K / 2)] = [0], but got [280]", {"out_features": 0}),
    *wrong_weight("out_features * K"),
    *wrong_plain_absmax("out_features * K"),
    BadCall(f"bias must be {FLOATS}, but got int64", zeros("bias", 8, dtype=torch.int64)),
    BadCall("bias must be [N] = [8], but got [7]", zeros("bias", 7)),
    BadCall("bias must be [N] = [8], but got []", zeros("bias")),
    BadCall("bias must be [N] = [8], but got [1, 8]", zeros("bias", 1, 8)),
    # The first of several mistakes, in the order of the checks.
    BadCall(f"x must be {FLOATS}, but got int64", {**zeros("x", 3, 7, dtype=torch.int64), "out_features": -1}),
    BadCall("out_features must be at least 0, but got -1", {"out_features": -1, "block_size": 0}),
    BadCall(f"{POWER_OF_TWO} 0", {"block_size": 0, "nested_block_size": 0}),
    BadCall("nested_block_size must be at least 1, but got 0", {"nested_block_size": 0, **zeros("weight_packed", 1)}),
    BadCall("weight_packed must be uint8, but got float32", {**zeros("weight_packed", 1), **zeros("absmax", 1)}),
    BadCall(
        "absmax must be [ceil(out_features * K / block_size)] = [9], but got [1]",
        {**zeros("absmax", 1), **zeros("bias", 1)},
    ),
]

BAD_BACKWARD_CALLS = [
    BadCall(f"grad_output must be {FLOATS}, but got int64", zeros("grad_output", 3, 8, dtype=torch.int64)),
    BadCall("grad_output must have at least 1 dimension, but got a 0-dimensional tensor", zeros("grad_output")),
    BadCall("in_features must be at least 0, but got -1", {"in_features": -1}),
    BadCall(f"in_features must be at most {LARGEST // 8}, but got {2**62}", {"in_features": 2**62}),
    BadCall("weight_packed must be [ceil(N * in_features / 2)] = [284], but got [280]", {"in_features": 71}),
    BadCall("weight_packed must be [ceil(N * in_features / 2)] = [315], but got [280]", zeros("grad_output", 3, 9)),
    *wrong_weight("N * in_features"),
    *wrong_plain_absmax("N * in_features"),
]

BAD_SHAPES = [
    BadCall("shape must have sizes of at least 0, but got [8, -70]", {"shape": [8, -70]}),
    BadCall("shape must have sizes of at least 0, but got [-8, -70]", {"shape": [-8, -70]}),
    BadCall("shape must have sizes of at least 0, but got [0, -1]", {"shape": [0, -1]}),
    BadCall(f"shape must have at most {LARGEST} elements, but got [{2**32}, {2**31}]", {"shape": [2**32, 2**31]}),
    BadCall(f"shape must have at most {LARGEST} elements, but got [{2**62}, 4, 4]", {"shape": [2**62, 4, 4]}),
    BadCall("weight_packed must be [ceil(prod(shape) / 2)] = [0], but got [280]", {"shape": [2**62, 4, 4, 0]}),
    BadCall("weight_packed must be [ceil(prod(shape) / 2)] = [284], but got [280]", {"shape": [8, 71]}),
    BadCall("weight_packed must be [ceil(prod(shape) / 2)] = [1], but got [280]", {"shape": []}),
]

BAD_DEQUANTIZE_CALLS = [
    *BAD_SHAPES,
    *wrong_weight("prod(shape)"),
    *wrong_plain_absmax("prod(shape)"),
    BadCall(f"dtype must be {FLOATS}, but got uint8", {"dtype": torch.uint8}),
    BadCall(f"dtype must be {FLOATS}, but got float64", {"dtype": torch.float64}),
]

BAD_OUT_CALLS = [
    *BAD_SHAPES,
    *wrong_weight("prod(shape)"),
    *wrong_plain_absmax("prod(shape)"),
    BadCall(f"out must be {FLOATS}, but got float64", zeros("out", 8, 70, dtype=torch.float64)),
    BadCall(f"out must be {FLOATS}, but got uint8", zeros("out", 8, 70, dtype=torch.uint8)),
    BadCall("out must be shape = [8, 70], but got [70, 8]", zeros("out", 70, 8)),
    BadCall("out must be shape = [8, 70], but got [560]", zeros("out", 560)),
    BadCall("out must be shape = [8, 70], but got [0]", zeros("out", 0)),
]

BAD_QUANTIZE_CALLS = [
    BadCall(f"weight must be {FLOATS}, but got float64", zeros("weight", 8, 70, dtype=torch.float64)),
    BadCall(f"weight must be {FLOATS}, but got uint8", zeros("weight", 8, 70, dtype=torch.uint8)),
    *BAD_BLOCK_SIZES,
    BadCall(f"weight must be {FLOATS}, but got int8", {**zeros("weight", 8, dtype=torch.int8), "block_size": 0}),
]

BAD_QUANTIZE_ABSMAX_CALLS = [
    BadCall(f"absmax must be {FLOATS}, but got uint8", zeros("absmax", 9, dtype=torch.uint8)),
    BadCall(f"absmax must be {FLOATS}, but got float64", zeros("absmax", 9, dtype=torch.float64)),
    BadCall("absmax must be [blocks], but got [9, 1]", zeros("absmax", 9, 1)),
    BadCall("absmax must be [blocks], but got []", zeros("absmax")),
    *BAD_NESTED_BLOCK_SIZES,
]

CASES = [
    pytest.param(op, good, bad, id=f"{name}-{bad.message}")
    for name, op, good, calls in (
        ("nf4_mm", "nf4_mm", mm_arguments, BAD_MM_CALLS),
        ("nf4_mm", "nf4_mm", doubly(mm_arguments), wrong_doubly_quantized_absmax("out_features * K")),
        ("backward", "nf4_mm_backward", backward_arguments, BAD_BACKWARD_CALLS),
        ("backward", "nf4_mm_backward", doubly(backward_arguments), wrong_doubly_quantized_absmax("N * in_features")),
        ("dequantize", "nf4_dequantize", dequantize_arguments, BAD_DEQUANTIZE_CALLS),
        ("dequantize", "nf4_dequantize", doubly(dequantize_arguments), wrong_doubly_quantized_absmax("prod(shape)")),
        ("out", "nf4_dequantize", out_arguments, BAD_OUT_CALLS),
        ("out", "nf4_dequantize", doubly(out_arguments), wrong_doubly_quantized_absmax("prod(shape)")),
        ("quantize", "nf4_quantize", quantize_arguments, BAD_QUANTIZE_CALLS),
        ("quantize_absmax", "nf4_quantize_absmax", quantize_absmax_arguments, BAD_QUANTIZE_ABSMAX_CALLS),
    )
    for bad in calls
]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("op, good, bad", CASES)
def test_a_bad_call_gets_its_sentence(op: str, good: Callable[[], dict[str, Any]], bad: BadCall, where, device):
    with where(moved({**good(), **bad.arguments}, device)) as arguments:
        expect_sentence(op, arguments, bad.message)


GOOD_CALLS = [
    (op, call)
    for op, good in (
        ("nf4_mm", mm_arguments),
        ("nf4_mm_backward", backward_arguments),
        ("nf4_dequantize", dequantize_arguments),
        ("nf4_dequantize", out_arguments),
    )
    for call in (good, doubly(good))
]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("op, good", GOOD_CALLS)
def test_the_good_call_that_the_bad_ones_vary_is_good(op, good, where):
    with where(good()) as arguments:
        assert operator(op)(**arguments).dtype == torch.float32


@pytest.mark.parametrize("op, good", GOOD_CALLS)
def test_tensors_on_different_devices(op, good):
    arguments = good()
    tensors = [name for name, value in arguments.items() if isinstance(value, torch.Tensor)]
    first, *others = tensors
    for other in others:
        with pytest.raises(RuntimeError) as error:
            operator(op)(**{**arguments, other: arguments[other].to("meta")})
        assert str(error.value) == f"{op}: {other} must be on {first}'s device {arguments[first].device}, but got meta"
    with pytest.raises(RuntimeError) as error:
        operator(op)(**{**arguments, first: arguments[first].to("meta")})
    second = "out" if "out" in others else others[0]
    assert str(error.value) == f"{op}: {second} must be on {first}'s device meta, but got {arguments[first].device}"


@pytest.mark.parametrize("where", [on_device, in_fake_mode])
def test_an_out_that_overlaps_itself(where):
    with where({**out_arguments(), "out": torch.zeros(8, 1).expand(8, 70)}) as arguments:
        with pytest.raises(RuntimeError) as error:
            operator("nf4_dequantize")(**arguments)
    assert str(error.value).splitlines()[0] == (
        "nf4_dequantize: out must have memory for each element, but got an expanded tensor"
    )


def test_the_dtype_is_that_of_out():
    arguments = out_arguments()
    assert torchao_ops.nf4_dequantize(**arguments, dtype=torch.float32) is arguments["out"]
    with pytest.raises(RuntimeError) as error:
        torchao_ops.nf4_dequantize(**arguments, dtype=torch.float16)
    assert str(error.value) == "nf4_dequantize: dtype must be None or out's float32, but got float16"


def test_an_out_that_requires_grad():
    arguments = {**out_arguments(), "out": torch.empty(8, 70, requires_grad=True)}
    with pytest.raises(RuntimeError) as error:
        torchao_ops.nf4_dequantize(**arguments)
    assert str(error.value) == "nf4_dequantize: out must not require grad, but got requires_grad=True"
    with torch.no_grad():
        assert torchao_ops.nf4_dequantize(**arguments) is arguments["out"]


@pytest.mark.parametrize("op, good", [("nf4_mm", mm_arguments), ("nf4_mm_backward", backward_arguments)])
def test_there_is_no_gradient_for_the_weight(op, good):
    for doubly_quantized, names in ((False, ["absmax"]), (True, ["absmax_code", "nested_absmax", "absmax_offset"])):
        for name in names:
            arguments = good(doubly_quantized)
            expect_no_gradient_for(op, arguments, name)


def test_a_bad_call_inside_torch_compile_names_the_argument():
    arguments = {**mm_arguments(), "bias": torch.zeros(7)}
    expect_sentence_inside_torch_compile("nf4_mm", arguments, "bias must be [N] = [8], but got [7]")
