"""Strides, runs and threads change no bit of a result, and no operand."""

import pytest
import torch
from helpers import FLOAT_DTYPES, MM_OPERATORS, Int4Weight, operator
from layouts import LAYOUTS
from torch import Tensor
from torchao_ops import int4_dequantize, int4_quantize

pytestmark = pytest.mark.usefixtures("device")

OPERANDS = ["x", "weight_packed", "weight_scale", "weight_zero_point"]


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [2, 37])
def test_mm_is_bitwise_that_of_contiguous_operands(op, dtype, operand, layout, rows):
    weight = Int4Weight.random(41, 131, 32, dtype, dtype)
    operands = dict(zip(OPERANDS, (torch.randn(rows, 131).to(dtype), *weight.mm_args[:3]), strict=True))
    operands[operand] = layout(operands[operand])
    before = {name: tensor.clone() for name, tensor in operands.items()}
    y = operator(op)(*operands.values(), 32)
    assert y.is_contiguous()
    assert torch.equal(y, operator(op)(*(tensor.contiguous() for tensor in operands.values()), 32))
    assert all(torch.equal(operands[name], before[name]) for name in operands)


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_a_strided_bias(op):
    weight, x = Int4Weight.random(41, 131, 32), torch.randn(3, 131)
    for bias in (torch.randn(82)[::2], torch.randn(1).expand(41), torch.randn(42)[1:]):
        y = operator(op)(x, *weight.mm_args, bias)
        assert torch.equal(y, operator(op)(x, *weight.mm_args, bias.contiguous()))


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_strided_leading_dimensions(op):
    weight = Int4Weight.random(41, 64, 32)
    for x in (
        torch.randn(5, 3, 64).transpose(0, 1),
        torch.randn(64, 3, 5).permute(2, 1, 0),
        torch.randn(3, 1, 64).expand(3, 4, 64),
        torch.randn(2, 3, 5, 64)[:, ::2, 1:],
    ):
        y = operator(op)(x, *weight.mm_args)
        assert torch.equal(y, operator(op)(x.contiguous(), *weight.mm_args))


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_a_lazily_negated_view(op):
    # The imaginary part of a conjugate is a view with the negative bit set: its memory holds the wrong signs.
    weight = Int4Weight.random(41, 64, 32)
    x = torch.randn(3, 64, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    assert torch.equal(operator(op)(x, *weight.mm_args), operator(op)(x.clone(), *weight.mm_args))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_quantize_is_bitwise_that_of_a_contiguous_weight(layout, dtype):
    weight = layout(torch.randn(13, 70).to(dtype))
    for got, expected in zip(int4_quantize(weight, 32), int4_quantize(weight.contiguous(), 32), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("operand", OPERANDS[1:])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_dequantize_is_bitwise_that_of_contiguous_operands(operand, layout):
    operands = dict(zip(OPERANDS[1:], Int4Weight.random(13, 70, 32).mm_args[:3], strict=True))
    operands[operand] = layout(operands[operand])
    expected = int4_dequantize(*(tensor.contiguous() for tensor in operands.values()), 32, 70)
    assert torch.equal(int4_dequantize(*operands.values(), 32, 70), expected)


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 4, 33, 200])
def test_mm_is_the_same_for_every_run_and_thread_count(op, dtype, rows):
    weight, x = Int4Weight.random(517, 390, 128), torch.randn(rows, 390).to(dtype)
    bias = torch.randn(517)
    torch.set_num_threads(1)
    expected = operator(op)(x, *weight.mm_args, bias)
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        for _ in range(3):
            assert torch.equal(operator(op)(x, *weight.mm_args, bias), expected)


def test_quantize_and_dequantize_are_the_same_for_every_thread_count():
    weight = torch.randn(517, 390)
    torch.set_num_threads(1)
    quantized = int4_quantize(weight, 128)
    dequantized = int4_dequantize(*quantized, 128, 390)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        for got, expected in zip(int4_quantize(weight, 128), quantized, strict=True):
            assert torch.equal(got, expected)
        assert torch.equal(int4_dequantize(*quantized, 128, 390), dequantized)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 41, 131), (37, 130, 64)])
def test_every_element_of_a_result_is_written(shape):
    """In deterministic mode torch fills fresh memory with NaN, or the largest integer."""
    rows, out_features, in_features = shape
    x, weight, bias = torch.randn(rows, in_features), torch.randn(out_features, in_features), torch.randn(out_features)

    def results() -> list[Tensor]:
        quantized = int4_quantize(weight, 32)
        products = [operator(op)(x, *quantized, 32, bias) for op in MM_OPERATORS]
        return [*quantized, int4_dequantize(*quantized, 32, in_features), *products]

    expected = results()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        filled = results()
    finally:
        torch.use_deterministic_algorithms(False)
    for got, want in zip(filled, expected, strict=True):
        assert torch.equal(got, want)
