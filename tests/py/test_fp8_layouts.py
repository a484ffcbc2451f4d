"""Strides, runs and threads change no bit of a result, and no operand."""

import pytest
import torch
from helpers import FLOAT8_DTYPES, FLOAT_DTYPES, FP8_MM_OPERATORS, GRANULARITIES, Fp8Matrix, operator
from layouts import LAYOUTS
from reference import bits
from torch import Tensor
from torchao_ops import fp8_dequantize, fp8_quantize, fp8_scaled_mm

pytestmark = pytest.mark.usefixtures("device")

OPERANDS = ["x", "weight", "weight_scale"]


def same(got: Tensor, expected: Tensor) -> bool:
    return torch.equal(bits(got.contiguous()), bits(expected.contiguous()))


def strided_scales(rows: int, columns: int, granularity: str) -> list[Tensor]:
    """Scales of such a matrix whose strides are not contiguous ones."""
    scale = Fp8Matrix.random(rows, columns, granularity=granularity).scale
    if granularity == "tensor":
        return [torch.rand(5)[3], torch.rand(1, 1).expand(2, 2)[1, 1]]
    if granularity == "row":
        return [torch.rand(2 * rows)[::2], torch.rand(1).expand(rows), torch.rand(rows + 1)[1:]]
    return [layout(scale) for layout in LAYOUTS]


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("granularity", ["block", "group"])
def test_mm_is_bitwise_that_of_contiguous_operands(op, dtype, operand, layout, granularity):
    for rows, code_dtype in ((2, FLOAT8_DTYPES[0]), (37, FLOAT8_DTYPES[1])):
        weight = Fp8Matrix.random(141, 131, code_dtype, granularity, dtype)
        operands = dict(zip(OPERANDS, (torch.randn(rows, 131).to(dtype), *weight.args), strict=True))
        operands[operand] = layout(operands[operand])
        before = {name: tensor.clone() for name, tensor in operands.items()}
        y = operator(op)(*operands.values())
        assert y.is_contiguous()
        assert same(y, operator(op)(*(tensor.contiguous() for tensor in operands.values())))
        assert all(same(operands[name], before[name]) for name in operands)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("rows", [2, 37])
def test_scales_and_a_bias_of_any_stride(granularity, rows):
    weight, a, x = Fp8Matrix.random(141, 131), Fp8Matrix.random(rows, 131), torch.randn(rows, 131)
    biases = strided_scales(141, 131, "row")
    for i, scale in enumerate(strided_scales(141, 131, granularity)):
        bias, copy = biases[i % len(biases)], scale.contiguous().clone()
        for op in FP8_MM_OPERATORS:
            y = operator(op)(x, weight.codes, scale, bias)
            assert same(y, operator(op)(x, weight.codes, copy, bias.contiguous()))
        assert same(fp8_dequantize(weight.codes, scale), fp8_dequantize(weight.codes, copy))
        y = fp8_scaled_mm(a.codes, weight.codes, a.scale, scale, bias)
        assert same(y, fp8_scaled_mm(a.codes, weight.codes, a.scale, copy, bias.contiguous()))
    for scale in strided_scales(rows, 131, granularity):
        y = fp8_scaled_mm(a.codes, weight.codes, scale, weight.scale)
        assert same(y, fp8_scaled_mm(a.codes, weight.codes, scale.contiguous().clone(), weight.scale))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("operand", [0, 1])
def test_scaled_mm_is_bitwise_that_of_contiguous_operands(layout, operand):
    for rows in (2, 37):
        a, b = Fp8Matrix.random(rows, 131, torch.float8_e5m2, "group"), Fp8Matrix.random(141, 131, granularity="block")
        operands = [a.codes, b.codes]
        operands[operand] = layout(operands[operand])
        y = fp8_scaled_mm(*operands, a.scale, b.scale)
        assert y.is_contiguous()
        assert same(y, fp8_scaled_mm(*(tensor.contiguous() for tensor in operands), a.scale, b.scale))


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_strided_leading_dimensions(op, granularity):
    weight = Fp8Matrix.random(41, 64, granularity=granularity)
    for x in (
        torch.randn(5, 3, 64).transpose(0, 1),
        torch.randn(64, 3, 5).permute(2, 1, 0),
        torch.randn(3, 1, 64).expand(3, 4, 64),
        torch.randn(2, 3, 5, 64)[:, ::2, 1:],
    ):
        assert same(operator(op)(x, *weight.args), operator(op)(x.contiguous(), *weight.args))


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("in_features", [33, 100])
def test_an_x_at_an_odd_offset(op, dtype, in_features):
    weight = Fp8Matrix.random(16, in_features)
    for rows in (1, 2, 40):
        x = torch.randn(rows * in_features + 1).to(dtype)[1:].view(rows, in_features)
        assert same(operator(op)(x, *weight.args), operator(op)(x.clone(), *weight.args))


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
def test_a_lazily_negated_view(op):
    # The imaginary part of a conjugate is a view with the negative bit set: its memory holds the wrong signs.
    weight = Fp8Matrix.random(41, 64)
    x = torch.randn(3, 64, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    assert same(operator(op)(x, *weight.args), operator(op)(x.clone(), *weight.args))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_quantize_is_bitwise_that_of_a_contiguous_input(layout, dtype, granularity):
    x = layout(torch.randn(133, 131).to(dtype))
    before = x.clone()
    for code_dtype in FLOAT8_DTYPES:
        got, expected = (fp8_quantize(matrix, code_dtype, granularity) for matrix in (x, x.contiguous()))
        assert all(tensor.is_contiguous() for tensor in got)
        assert all(same(*pair) for pair in zip(got, expected, strict=True))
    assert torch.equal(x, before)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_dequantize_is_bitwise_that_of_contiguous_codes(layout, granularity):
    for code_dtype in FLOAT8_DTYPES:
        codes, scale = Fp8Matrix.random(133, 131, code_dtype, granularity).args
        strided = layout(codes)
        got = fp8_dequantize(strided, scale)
        assert got.is_contiguous()
        assert same(got, fp8_dequantize(strided.contiguous(), scale))


@pytest.mark.parametrize("op", [*FP8_MM_OPERATORS, "fp8_scaled_mm"])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 13, 100])
def test_products_are_the_same_for_every_run_and_thread_count(op, dtype, rows):
    weight, bias = Fp8Matrix.random(517, 390, granularity="block"), torch.randn(517)
    a, x = Fp8Matrix.random(rows, 390, granularity="group"), torch.randn(rows, 390).to(dtype)

    def product() -> Tensor:
        if op == "fp8_scaled_mm":
            return fp8_scaled_mm(a.codes, weight.codes, a.scale, weight.scale, bias, dtype)
        return operator(op)(x, *weight.args, bias)

    torch.set_num_threads(1)
    expected = product()
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        assert all(torch.equal(product(), expected) for _ in range(2))


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_quantize_and_dequantize_are_the_same_for_every_thread_count(granularity):
    x = torch.randn(517, 390)
    torch.set_num_threads(1)
    quantized = fp8_quantize(x, granularity=granularity)
    dequantized = fp8_dequantize(*quantized)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        assert all(same(*pair) for pair in zip(fp8_quantize(x, granularity=granularity), quantized, strict=True))
        assert torch.equal(fp8_dequantize(*quantized), dequantized)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 141, 131), (37, 130, 64), (2, 5, 0)])
def test_every_element_of_a_result_is_written(shape, granularity):
    """In deterministic mode torch fills fresh memory with NaN, or the largest integer."""
    rows, out_features, in_features = shape
    x, weight, bias = torch.randn(rows, in_features), torch.randn(out_features, in_features), torch.randn(out_features)

    def results() -> list[Tensor]:
        codes, scale = fp8_quantize(weight, granularity=granularity)
        a = fp8_quantize(x, granularity=granularity)
        products = [operator(op)(x, codes, scale, bias) for op in FP8_MM_OPERATORS]
        return [codes, scale, *a, fp8_dequantize(codes, scale), fp8_scaled_mm(a[0], codes, a[1], scale), *products]

    expected = results()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        filled = results()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(same(*pair) for pair in zip(filled, expected, strict=True))
