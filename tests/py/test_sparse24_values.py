"""2:4 sparse operators against the reference: every dtype, ragged and empty sizes, NaN and Inf, the numerics contract.

test_library.py runs this file once more for every other instruction set of the machine.
"""

import itertools

import hypothesis
import pytest
import reference
import torch
from helpers import (
    DTYPES_OF_8_BITS,
    FLOAT_DTYPES,
    SPARSE24_DTYPES,
    SPARSE24_MM_OPERATORS,
    Sparse24Weight,
    available_memory,
    operator,
)
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchao_ops import sparse24_compress, sparse24_decompress, sparse24_dynamic_mm, sparse24_mm, sparse24_prune

pytestmark = pytest.mark.usefixtures("device")

# Relative Frobenius errors of a result that is computed in fp32 and rounded once: half a unit in the last place, and for
# fp32 the accumulation.
TOLERANCE = {torch.float32: 5e-7, torch.float16: 4e-4, torch.bfloat16: 3e-3}
# The products, each with the dtypes of values that it takes.
PRODUCTS = [
    *(("sparse24_mm", dtype) for dtype in SPARSE24_DTYPES),
    *(("sparse24_dynamic_mm", dtype) for dtype in DTYPES_OF_8_BITS),
]


def expected_product(op: str, dtype: torch.dtype, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if op == "sparse24_mm":
        return reference.mm(x, weight, bias)
    return reference.dynamic_mm(x, weight, bias, dtype)


def same(got: Tensor, expected: Tensor) -> bool:
    """Bit for bit."""
    return got.dtype == expected.dtype and torch.equal(reference.bits(got), reference.bits(expected))


def dense_weight(*shape: int, dtype: torch.dtype) -> Tensor:
    """With ties, zeros of both signs where there are two, and what is no number where there is such a thing."""
    weight = torch.randint(-4, 5, shape).float()
    weight[torch.rand(shape) < 0.1] = -0.0
    if dtype != torch.int8:
        weight[torch.rand(shape) < 0.05] = float("nan")
    if dtype in FLOAT_DTYPES:
        weight[torch.rand(shape) < 0.05] = -float("inf")
    return weight.to(dtype)


SHAPES = [(5, 7), (3, 64), (16, 384), (4, 33), (1, 1), (2, 2), (2, 3), (70, 130)]


def test_an_example():
    weight = torch.tensor([[1.0, -3.0, 2.0, 0.5, 4.0, 0.0, 0.0, 0.0, 6.0, 5.0, -7.0]])
    mask = sparse24_prune(weight)
    assert mask.tolist() == [[False, True, True, False, True, True, False, False, True, False, True]]
    values, bitmask = sparse24_compress(weight, mask)
    assert values.tolist() == [[-3, 2, 4, 0, 6, -7]]
    assert bitmask.tolist() == [[0b00110110, 0b101]]
    dense = sparse24_decompress(values, bitmask, 11)
    assert dense.tolist() == [[0, -3, 2, 0, 4, 0, 0, 0, 6, 0, -7]]
    x = torch.randn(2, 11)
    torch.testing.assert_close(sparse24_mm(x, values, bitmask), x @ dense.T)


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_prune_and_compress_equal_the_reference(shape, dtype):
    weight = dense_weight(*shape, dtype=dtype)
    mask = sparse24_prune(weight)
    assert mask.dtype == torch.bool
    assert torch.equal(mask.cpu(), reference.sparse24_prune(weight))
    fewer = mask & (torch.rand(shape) < 0.7)
    for given_mask in (mask, fewer, torch.zeros_like(mask)):
        for got, expected in zip(
            sparse24_compress(weight, given_mask), reference.sparse24_compress(weight, given_mask), strict=True
        ):
            assert same(got, expected)
    # And without a mask, of what the mask leaves.
    pruned = torch.where(mask.cpu(), reference.bits(weight), 0).view(dtype).to(weight.device)
    for got, expected in zip(sparse24_compress(pruned), reference.sparse24_compress(weight, mask), strict=True):
        assert same(got, expected)


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_decompress_equals_the_reference(shape, dtype):
    weight = Sparse24Weight.random(*shape, dtype)
    assert same(sparse24_decompress(*weight.decompress_args), reference.sparse24_decompress(*weight.decompress_args))


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
def test_what_is_compressed_marks_two_of_each_quad(dtype):
    weight = Sparse24Weight.random(30, 64, dtype)
    dense = sparse24_decompress(*weight.decompress_args)
    values, bitmask = sparse24_compress(dense)
    bit = bitmask[..., None] >> torch.arange(8, dtype=torch.uint8) & 1
    assert (bit.reshape(30, 16, 4).sum(-1) == 2).all()
    # Nothing but the signs of zeros changes.
    again = sparse24_decompress(values, bitmask, 64)
    assert torch.equal(again.double().cpu(), reference.sparse24_decompress(*weight.decompress_args).double())


def test_compress_keeps_what_it_keeps_as_it_is():
    weight = torch.tensor([[-0.0, 0.0, 5.0, 0.0, -0.0, -0.0, -0.0, -0.0]])
    values, bitmask = sparse24_compress(weight)
    assert same(values, torch.tensor([[-0.0, 5.0, -0.0, -0.0]]))
    assert bitmask.tolist() == [[0b00110101]]
    mask = torch.tensor([[False, False, False, True, False, False, False, False]])
    values, bitmask = sparse24_compress(weight, mask)
    assert same(values, torch.zeros(1, 4))
    assert bitmask.tolist() == [[0b00111001]]


@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("op, dtype", PRODUCTS)
def test_mm_takes_every_combination_of_dtypes(op, dtype, x_dtype):
    x = torch.randn(5, 70).to(x_dtype)
    scale_dtypes = FLOAT_DTYPES if dtype in DTYPES_OF_8_BITS else (None, *FLOAT_DTYPES)
    for scale_dtype, bias_dtype in itertools.product(scale_dtypes, (None, *FLOAT_DTYPES)):
        weight = Sparse24Weight.random(11, 70, dtype, scale_dtype)
        bias = None if bias_dtype is None else torch.randn(11).to(bias_dtype)
        y = operator(op)(x, *weight.mm_args, bias)
        assert y.dtype == x_dtype
        expected = expected_product(op, dtype, x, weight.exact(), bias)
        assert reference.relative_error(y, expected) < TOLERANCE[x_dtype], (scale_dtype, bias_dtype)


# The fixture, which is not renewed for each example, says where: that is the same for all.
@hypothesis.settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    batch=st.lists(st.integers(0, 9), max_size=3),
    out_features=st.integers(0, 70),
    in_features=st.integers(0, 300),
    x_dtype=st.sampled_from(FLOAT_DTYPES),
    with_scale=st.booleans(),
    with_bias=st.booleans(),
    product=st.sampled_from(PRODUCTS),
)
def test_mm_takes_any_shape(batch, out_features, in_features, x_dtype, with_scale, with_bias, product):
    op, dtype = product
    scale_dtype = torch.float32 if with_scale or dtype in DTYPES_OF_8_BITS else None
    weight = Sparse24Weight.random(out_features, in_features, dtype, scale_dtype)
    x = torch.randn(*batch, in_features).to(x_dtype)
    bias = torch.randn(out_features).to(x_dtype) if with_bias else None
    y = operator(op)(x, *weight.mm_args, bias)
    assert y.shape == (*batch, out_features)
    assert y.dtype == x_dtype
    expected = expected_product(op, dtype, x, weight.exact(), bias)
    # Not relative to the norm of the result, which may be small by cancellation.
    bound = (x.cpu().double().abs() @ weight.exact().abs().T).norm() + expected.norm()
    assert (y.cpu().double() - expected).norm() <= TOLERANCE[x_dtype] * bound


@pytest.mark.parametrize("op, dtype", PRODUCTS)
def test_no_columns_give_the_bias_or_zeros(op, dtype):
    weight = Sparse24Weight.random(6, 0, dtype)
    x, bias = torch.randn(3, 0), torch.randn(6)
    assert torch.equal(operator(op)(x, *weight.mm_args), torch.zeros(3, 6))
    assert torch.equal(operator(op)(x, *weight.mm_args, bias), bias.expand(3, 6))


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
@pytest.mark.parametrize("shape", [(0, 8), (4, 0), (0, 0)])
def test_empty_weights(shape, dtype):
    weight = torch.empty(shape).to(dtype)
    mask = sparse24_prune(weight)
    assert mask.shape == shape
    for given_mask in (None, mask):
        values, bitmask = sparse24_compress(weight, given_mask)
        assert values.shape == (shape[0], shape[1] // 2)
        assert bitmask.shape == (shape[0], shape[1] // 8)
        assert sparse24_decompress(values, bitmask, shape[1]).shape == shape


# Sizes on both sides of every change of algorithm, and the real model's.
CONTRACT_SHAPES = [
    (1, 384, 384),
    (3, 1536, 384),
    (4, 384, 1536),
    (16, 257, 1031),
    (64, 384, 384),
    (1, 1024, 4096),
    (128, 256, 2048),
]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("values_dtype", [None, *DTYPES_OF_8_BITS])
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_mm_is_at_least_as_exact_as_a_dense_product(rows, out_features, in_features, values_dtype, dtype, device):
    """values_dtype None: as x."""
    scale_dtype = None if values_dtype is None else torch.float32
    weight = Sparse24Weight.random(out_features, in_features, values_dtype or dtype, scale_dtype)
    exact = weight.exact()
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    expected = reference.mm(x, exact, bias)
    ours = reference.relative_error(sparse24_mm(x, *weight.mm_args, bias), expected)
    dense = reference.relative_error(F.linear(x, exact.to(x), bias), expected)
    if values_dtype is None or dtype == torch.float32 or device == "cuda":
        # The dense product's weight is exact, too, or nearly so, and fp32 sums are of another order: equal but for the noise of a few roundings.
        dense = max(1.01 * dense, TOLERANCE[torch.float32])
    assert ours <= dense


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("values_dtype", DTYPES_OF_8_BITS)
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_dynamic_mm_is_exact_but_for_the_rounding_of_x(rows, out_features, in_features, values_dtype, dtype):
    weight = Sparse24Weight.random(out_features, in_features, values_dtype)
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    y = sparse24_dynamic_mm(x, *weight.mm_args, bias)
    expected = expected_product("sparse24_dynamic_mm", values_dtype, x, weight.exact(), bias)
    assert reference.relative_error(y, expected) < TOLERANCE[dtype]
    # And the rounding itself costs what 8 bits cost, of which four of e4m3fn are the exponent's.
    cost = 0.015 if values_dtype == torch.int8 else 0.04
    assert reference.relative_error(y, reference.mm(x, weight.exact(), bias)) < cost


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_dynamic_mm_with_int8_values_is_the_formula(dtype):
    """Bit for bit, and so the same for every number of rows."""
    weight = Sparse24Weight.random(130, 1100, torch.int8)
    x, bias = torch.randn(70, 1100).to(dtype), torch.randn(130)
    x_cpu, scale, bias_cpu = (tensor.cpu() for tensor in (x, weight.scale, bias))
    codes = reference.sparse24_decompress(*weight.decompress_args)
    x_scale = (x_cpu.float().abs().amax(1, keepdim=True) / 127).float()
    q = (x_cpu.float() / x_scale).round().clamp(-127, 127)
    sums = (q.double() @ codes.double().T).float()  # exact: the sums are integers below 2^53
    expected = (sums * scale * x_scale + bias_cpu).to(dtype)
    for rows in (1, 2, 5, 17, 70):
        assert torch.equal(sparse24_dynamic_mm(x[:rows], *weight.mm_args, bias).cpu(), expected[:rows])


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_the_largest_products_do_not_saturate(rows):
    values = torch.full((33, 500), -128, dtype=torch.int8)
    values[1::2, ::2] = 127
    bitmask = torch.full((33, 125), 0b10010101, dtype=torch.uint8)
    x = torch.full((rows, 1000), 127.0)
    x[::2] *= -1
    dense = reference.sparse24_decompress(values, bitmask, 1000).double()
    y = sparse24_dynamic_mm(x, values, bitmask, torch.ones(33))
    assert torch.equal(y.double().cpu(), x.double().cpu() @ dense.T)


NAN, INF = float("nan"), float("inf")
NON_FINITE = [
    *itertools.product(PRODUCTS, ("x", "weight_scale", "bias"), (NAN, INF, -INF)),
    *(((op, dtype), "values", bad) for op, dtype in PRODUCTS for bad in (NAN, INF, -INF) if dtype in FLOAT_DTYPES),
    *(((op, torch.float8_e4m3fn), "values", NAN) for op in SPARSE24_MM_OPERATORS),
]


@pytest.mark.parametrize("product, where, bad", NON_FINITE)
@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_non_finite_values_reach_the_results_that_they_reach_in_a_dense_product(product, where, bad, x_dtype, rows):
    """Those of x meet the zeros that are not stored, too: 0 * Inf is NaN."""
    op, dtype = product
    weight = Sparse24Weight.random(40, 96, dtype)
    operands = {
        "x": torch.randn(rows, 96).to(x_dtype),
        "values": weight.values.clone(),
        "weight_scale": weight.scale.clone(),
        "bias": torch.randn(40).to(x_dtype),
    }
    operand = operands[where]
    if where == "values":
        weight.bitmask[20, 0] = 0b00110011
    operand[(operand.shape[0] // 2, 1)[: operand.dim()]] = bad
    x, values, scale, bias = operands.values()
    y = operator(op)(x, values, weight.bitmask, scale, bias).cpu()
    # In float64 the dense product of finite operands here cannot overflow, so the masks are those of the inputs.
    expected = reference.mm(x, Sparse24Weight(values, weight.bitmask, scale, 96).exact(), bias)
    assert (~expected.isfinite()).any()
    assert torch.equal(y.isfinite(), expected.isfinite())
    if op == "sparse24_mm":
        assert torch.equal(y.isnan(), expected.isnan())
        assert torch.equal(y[y.isinf()].double(), expected[expected.isinf()])


@pytest.mark.parametrize("op, dtype", PRODUCTS)
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_zeros_give_exact_zeros(op, dtype, rows):
    weight = Sparse24Weight.random(33, 100, dtype)
    x = torch.randn(rows, 100)
    zeros = torch.zeros(rows, 33)
    values, bitmask, scale = weight.mm_args
    assert torch.equal(operator(op)(torch.zeros(rows, 100), *weight.mm_args), zeros)
    assert torch.equal(operator(op)(x, values, bitmask, torch.zeros_like(scale)), zeros)
    no_values = torch.zeros(values.shape).to(dtype)
    assert torch.equal(operator(op)(x, no_values, bitmask, scale), zeros)
    assert torch.equal(operator(op)(x, values, torch.zeros_like(bitmask), scale), zeros)


@pytest.mark.parametrize("op, dtype", PRODUCTS)
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_rows_do_not_depend_on_each_other(op, dtype, rows):
    weight = Sparse24Weight.random(48, 160, dtype)
    x = torch.randn(rows, 160)
    disturbed = x.clone()
    disturbed[1:] = 1e4 * torch.randn(rows - 1, 160)
    assert torch.equal(operator(op)(x, *weight.mm_args)[0], operator(op)(disturbed, *weight.mm_args)[0])


@pytest.mark.parametrize("op", SPARSE24_MM_OPERATORS)
def test_leading_dimensions_are_rows(op):
    weight = Sparse24Weight.random(24, 64, torch.int8)
    x = torch.randn(3, 5, 64)
    flat = operator(op)(x.reshape(15, 64), *weight.mm_args)
    assert torch.equal(operator(op)(x, *weight.mm_args), flat.reshape(3, 5, 24))


@pytest.mark.parametrize("op", [*SPARSE24_MM_OPERATORS, "sparse24_decompress", "sparse24_compress"])
def test_more_than_two_to_the_31_weights(op, device):
    out_features, in_features = 65544, 32768
    needed, available = 12 << 30, available_memory(device)
    if available < needed:
        pytest.skip(f"needs {needed >> 30} GiB of free memory on {device}, which has {available / (1 << 30):.1f}")
    row = torch.randint(-128, 128, (in_features // 2,), dtype=torch.int8)
    values = row ^ torch.arange(out_features).to(torch.int8)[:, None]
    bitmask = torch.full((out_features, in_features // 8), 0b10100101, dtype=torch.uint8)
    scale = torch.full((out_features,), 0.001)
    last = slice(out_features - 4, None)
    dense = reference.sparse24_decompress(values[last], bitmask[last], in_features)
    if op in SPARSE24_MM_OPERATORS:
        x = torch.randn(1, in_features)
        y = operator(op)(x, values, bitmask, scale)
        expected = expected_product(op, torch.int8, x, dense.double() * 0.001)
        assert reference.relative_error(y[:, last], expected) < 1e-5
        return
    decompressed = sparse24_decompress(values, bitmask, in_features)
    assert torch.equal(decompressed[last].cpu(), dense)
    if op == "sparse24_compress":
        again = sparse24_compress(decompressed, decompressed != 0)[0]
        assert torch.equal(again[last].cpu(), reference.sparse24_compress(dense)[0])
