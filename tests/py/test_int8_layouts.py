"""Strides, runs and threads change no bit of a result, and no operand."""

import pytest
import torch
from helpers import FLOAT_DTYPES, INT8_MM_OPERATORS, Int8Weight, operator
from layouts import LAYOUTS
from torch import Tensor
from torchao_ops import int8_dequantize, int8_quantize

pytestmark = pytest.mark.usefixtures("device")

OPERANDS = ["x", "weight", "weight_scale"]
# Three groups, the last partial; and one scale a row.
GROUP_SIZES = [48, 0]


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [2, 37])
def test_mm_is_bitwise_that_of_contiguous_operands(op, dtype, operand, layout, rows):
    weight = Int8Weight.random(41, 131, 48, dtype)
    operands = dict(zip(OPERANDS, (torch.randn(rows, 131).to(dtype), weight.codes, weight.scale), strict=True))
    operands[operand] = layout(operands[operand])
    before = {name: tensor.clone() for name, tensor in operands.items()}
    y = operator(op)(*operands.values(), 48)
    assert y.is_contiguous()
    assert torch.equal(y, operator(op)(*(tensor.contiguous() for tensor in operands.values()), 48))
    assert all(torch.equal(operands[name], before[name]) for name in operands)


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("rows", [2, 37])
def test_row_scales_and_a_bias_of_any_stride(op, rows):
    weight, x = Int8Weight.random(41, 131), torch.randn(rows, 131)
    for strided in (torch.rand(82)[::2], torch.rand(1).expand(41), torch.rand(42)[1:]):
        y = operator(op)(x, weight.codes, strided, 0, strided)
        assert torch.equal(y, operator(op)(x, weight.codes, strided.contiguous(), 0, strided.contiguous()))
        dequantized = int8_dequantize(weight.codes, strided)
        assert torch.equal(dequantized, int8_dequantize(weight.codes, strided.contiguous()))


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_strided_leading_dimensions(op, group_size):
    weight = Int8Weight.random(41, 64, group_size)
    for x in (
        torch.randn(5, 3, 64).transpose(0, 1),
        torch.randn(64, 3, 5).permute(2, 1, 0),
        torch.randn(3, 1, 64).expand(3, 4, 64),
        torch.randn(2, 3, 5, 64)[:, ::2, 1:],
    ):
        y = operator(op)(x, *weight.mm_args)
        assert torch.equal(y, operator(op)(x.contiguous(), *weight.mm_args))


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("in_features", [33, 100])
def test_an_x_at_an_odd_offset(op, dtype, in_features):
    """Both crash torch's `_weight_int8pack_mm`: a K that is no multiple of 32, and rows that are not aligned."""
    weight = Int8Weight.random(16, in_features)
    for rows in (1, 2, 40):
        x = torch.randn(rows * in_features + 1).to(dtype)[1:].view(rows, in_features)
        assert torch.equal(operator(op)(x, *weight.mm_args), operator(op)(x.clone(), *weight.mm_args))


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
def test_a_lazily_negated_view(op):
    # The imaginary part of a conjugate is a view with the negative bit set: its memory holds the wrong signs.
    weight = Int8Weight.random(41, 64)
    x = torch.randn(3, 64, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    assert torch.equal(operator(op)(x, *weight.mm_args), operator(op)(x.clone(), *weight.mm_args))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_quantize_is_bitwise_that_of_a_contiguous_weight(layout, dtype, group_size):
    weight = layout(torch.randn(13, 131).to(dtype))
    for got, expected in zip(
        int8_quantize(weight, group_size), int8_quantize(weight.contiguous(), group_size), strict=True
    ):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("operand", OPERANDS[1:])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_dequantize_is_bitwise_that_of_contiguous_operands(operand, layout):
    weight = Int8Weight.random(13, 131, 48)
    operands = {"weight": weight.codes, "weight_scale": weight.scale}
    operands[operand] = layout(operands[operand])
    expected = int8_dequantize(*(tensor.contiguous() for tensor in operands.values()), 48)
    assert torch.equal(int8_dequantize(*operands.values(), 48), expected)


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 4, 33, 200])
def test_mm_is_the_same_for_every_run_and_thread_count(op, dtype, rows):
    weight, x = Int8Weight.random(517, 390, 128), torch.randn(rows, 390).to(dtype)
    bias = torch.randn(517)
    torch.set_num_threads(1)
    expected = operator(op)(x, *weight.mm_args, bias)
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        for _ in range(3):
            assert torch.equal(operator(op)(x, *weight.mm_args, bias), expected)


@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_quantize_and_dequantize_are_the_same_for_every_thread_count(group_size):
    weight = torch.randn(517, 390)
    torch.set_num_threads(1)
    quantized = int8_quantize(weight, group_size)
    dequantized = int8_dequantize(*quantized, group_size)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        for got, expected in zip(int8_quantize(weight, group_size), quantized, strict=True):
            assert torch.equal(got, expected)
        assert torch.equal(int8_dequantize(*quantized, group_size), dequantized)


@pytest.mark.parametrize("group_size", GROUP_SIZES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 41, 131), (37, 130, 64), (2, 5, 0)])
def test_every_element_of_a_result_is_written(shape, group_size):
    """In deterministic mode torch fills fresh memory with NaN, or the largest integer."""
    rows, out_features, in_features = shape
    x, weight, bias = torch.randn(rows, in_features), torch.randn(out_features, in_features), torch.randn(out_features)

    def results() -> list[Tensor]:
        quantized = int8_quantize(weight, group_size)
        products = [operator(op)(x, *quantized, group_size, bias) for op in INT8_MM_OPERATORS]
        return [*quantized, int8_dequantize(*quantized, group_size), *products]

    expected = results()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        filled = results()
    finally:
        torch.use_deterministic_algorithms(False)
    for got, want in zip(filled, expected, strict=True):
        assert torch.equal(got, want)
