"""Strides, runs and threads change no bit of a result, and no operand."""

import pytest
import reference
import torch
from helpers import (
    DTYPES_OF_8_BITS,
    FLOAT_DTYPES,
    SPARSE24_DTYPES,
    SPARSE24_MM_OPERATORS,
    Sparse24Weight,
    operator,
)
from layouts import LAYOUTS
from torch import Tensor
from torchao_ops import sparse24_compress, sparse24_decompress, sparse24_prune

pytestmark = pytest.mark.usefixtures("device")

PRODUCTS = [
    *(("sparse24_mm", dtype) for dtype in SPARSE24_DTYPES),
    *(("sparse24_dynamic_mm", dtype) for dtype in DTYPES_OF_8_BITS),
]


def same(got: Tensor, expected: Tensor) -> bool:
    """Bit for bit."""
    return torch.equal(reference.bits(got), reference.bits(expected))


def one_bit_a_quad(bitmask: Tensor) -> Tensor:
    """Bytes that may stand anywhere in a bitmask: a layout that overlaps or expands puts them elsewhere."""
    return torch.tensor([0x11, 0x42, 0x88, 0x24], dtype=torch.uint8)[bitmask.long() % 4]


@pytest.mark.parametrize("op, dtype", PRODUCTS)
@pytest.mark.parametrize("x_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("operand", ["x", "values", "bitmask"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [2, 37])
def test_mm_is_bitwise_that_of_contiguous_operands(op, dtype, x_dtype, operand, layout, rows):
    weight = Sparse24Weight.random(41, 131, dtype)
    bitmask = one_bit_a_quad(weight.bitmask)
    operands = {"x": torch.randn(rows, 131).to(x_dtype), "values": weight.values, "bitmask": bitmask}
    operands[operand] = layout(operands[operand])
    before = {name: tensor.clone() for name, tensor in operands.items()}
    y = operator(op)(*operands.values(), weight.scale)
    assert y.is_contiguous()
    assert torch.equal(y, operator(op)(*(tensor.contiguous() for tensor in operands.values()), weight.scale))
    assert all(same(operands[name], before[name]) for name in operands)


@pytest.mark.parametrize("op", SPARSE24_MM_OPERATORS)
@pytest.mark.parametrize("rows", [2, 37])
def test_scales_and_a_bias_of_any_stride(op, rows):
    weight, x = Sparse24Weight.random(41, 131, torch.int8), torch.randn(rows, 131)
    for strided in (torch.rand(82)[::2], torch.rand(1).expand(41), torch.rand(42)[1:]):
        y = operator(op)(x, weight.values, weight.bitmask, strided, strided)
        expected = operator(op)(x, weight.values, weight.bitmask, strided.contiguous(), strided.contiguous())
        assert torch.equal(y, expected)


@pytest.mark.parametrize("op", SPARSE24_MM_OPERATORS)
def test_strided_leading_dimensions(op):
    weight = Sparse24Weight.random(41, 64, torch.int8)
    for x in (
        torch.randn(5, 3, 64).transpose(0, 1),
        torch.randn(64, 3, 5).permute(2, 1, 0),
        torch.randn(3, 1, 64).expand(3, 4, 64),
        torch.randn(2, 3, 5, 64)[:, ::2, 1:],
    ):
        y = operator(op)(x, *weight.mm_args)
        assert torch.equal(y, operator(op)(x.contiguous(), *weight.mm_args))


@pytest.mark.parametrize("op, dtype", PRODUCTS)
@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("in_features", [33, 100])
def test_an_x_at_an_odd_offset(op, dtype, x_dtype, in_features):
    weight = Sparse24Weight.random(16, in_features, dtype)
    for rows in (1, 2, 40):
        x = torch.randn(rows * in_features + 1).to(x_dtype)[1:].view(rows, in_features)
        assert torch.equal(operator(op)(x, *weight.mm_args), operator(op)(x.clone(), *weight.mm_args))


@pytest.mark.parametrize("op", SPARSE24_MM_OPERATORS)
def test_a_lazily_negated_view(op):
    # The imaginary part of a conjugate is a view with the negative bit set: its memory holds the wrong signs.
    weight = Sparse24Weight.random(41, 64, torch.int8)
    x = torch.randn(3, 64, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    assert torch.equal(operator(op)(x, *weight.mm_args), operator(op)(x.clone(), *weight.mm_args))


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_prune_and_compress_are_bitwise_those_of_contiguous_operands(layout, dtype):
    weight = layout((20 * torch.randn(13, 131)).to(dtype))
    mask = sparse24_prune(weight)
    assert torch.equal(mask, sparse24_prune(weight.contiguous()))
    # Any layout of it marks at most one of four neighbours, wherever it puts them.
    given_mask = layout(torch.arange(13 * 131).reshape(13, 131) % 131 % 4 == 1)
    for a, b in ((weight, mask), (weight.contiguous(), given_mask), (weight, given_mask)):
        for got, expected in zip(
            sparse24_compress(a, b), sparse24_compress(a.contiguous(), b.contiguous()), strict=True
        ):
            assert same(got, expected)


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
@pytest.mark.parametrize("operand", ["values", "bitmask"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_decompress_is_bitwise_that_of_contiguous_operands(operand, layout, dtype):
    weight = Sparse24Weight.random(13, 131, dtype)
    operands = {"values": weight.values, "bitmask": one_bit_a_quad(weight.bitmask)}
    operands[operand] = layout(operands[operand])
    expected = sparse24_decompress(*(tensor.contiguous() for tensor in operands.values()), 131)
    assert same(sparse24_decompress(*operands.values(), 131), expected)


@pytest.mark.parametrize("op, dtype", PRODUCTS)
@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 4, 33, 200])
def test_mm_is_the_same_for_every_run_and_thread_count(op, dtype, x_dtype, rows):
    weight, x = Sparse24Weight.random(517, 390, dtype), torch.randn(rows, 390).to(x_dtype)
    bias = torch.randn(517)
    torch.set_num_threads(1)
    expected = operator(op)(x, *weight.mm_args, bias)
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        for _ in range(3):
            assert torch.equal(operator(op)(x, *weight.mm_args, bias), expected)


def everything(weight: Tensor) -> list[Tensor]:
    mask = sparse24_prune(weight)
    compressed = sparse24_compress(weight, mask)
    decompressed = sparse24_decompress(*compressed, weight.shape[1])
    return [mask, *compressed, decompressed, *sparse24_compress(decompressed)]


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
def test_the_rest_is_the_same_for_every_thread_count(dtype):
    weight = (20 * torch.randn(1517, 390)).to(dtype)
    torch.set_num_threads(1)
    expected = everything(weight)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        for got, want in zip(everything(weight), expected, strict=True):
            assert same(got, want)


@pytest.mark.parametrize("op, dtype", PRODUCTS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 41, 131), (37, 130, 64), (2, 5, 0)])
def test_every_element_of_a_result_is_written(op, dtype, shape):
    """In deterministic mode torch fills fresh memory with NaN, or the largest integer."""
    rows, out_features, in_features = shape
    x, weight = torch.randn(rows, in_features), (20 * torch.randn(out_features, in_features)).to(dtype)
    scale, bias = torch.rand(out_features), torch.randn(out_features)

    def results() -> list[Tensor]:
        mask, values, bitmask, *rest = everything(weight)
        return [mask, values, bitmask, *rest, operator(op)(x, values, bitmask, scale, bias)]

    expected = results()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        filled = results()
    finally:
        torch.use_deterministic_algorithms(False)
    for got, want in zip(filled, expected, strict=True):
        assert same(got, want)
