"""int8 operators against the reference: every dtype, ragged and empty sizes, NaN and Inf, the numerics contract.

test_library.py runs this file once more for every other instruction set of the machine.
"""

import itertools

import hypothesis
import pytest
import reference
import torch
from helpers import FLOAT_DTYPES, INT8_MM_OPERATORS, Int8Weight, available_memory, operator
from hypothesis import strategies as st
from torch.nn import functional as F
from torchao_ops import int8_dequantize, int8_dynamic_mm, int8_mm, int8_quantize

pytestmark = pytest.mark.usefixtures("device")

REFERENCE_OF = {"int8_mm": reference.mm, "int8_dynamic_mm": reference.dynamic_mm}

# Relative Frobenius errors of a result that is computed in fp32 and rounded once: half a unit in the last place, and for
# fp32 the accumulation.
TOLERANCE = {torch.float32: 5e-7, torch.float16: 4e-4, torch.bfloat16: 3e-3}


def test_quantize_example():
    weight = torch.tensor([[254.0, 1.0, 3.0, -5.0, 0.5], [0.0, -63.5, 31.75, 0.25, 0.75]])
    codes, scale = int8_quantize(weight)
    # Steps of 2 and of 0.5; halves of a step round to even.
    assert scale.tolist() == [2, 0.5]
    assert codes.tolist() == [[127, 0, 2, -2, 0], [0, -127, 64, 0, 2]]
    assert int8_dequantize(codes, scale).tolist() == [[254, 0, 4, -4, 0], [0, -63.5, 32, 0, 1]]

    codes, scale = int8_quantize(weight, group_size=3)
    assert scale.tolist() == [[2, pytest.approx(5 / 127)], [0.5, pytest.approx(0.75 / 127)]]
    assert codes.tolist() == [[127, 0, 2, -127, 13], [0, -127, 64, 42, 127]]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize(
    "shape, group_size",
    [((5, 7), 3), ((3, 64), 32), ((16, 384), 256), ((4, 33), 1000), ((1, 1), 1), ((5, 7), 0), ((16, 384), 0)],
)
def test_quantize_equals_the_reference(shape, group_size, dtype):
    weight = torch.randn(shape).to(dtype)
    weight[0, 0] = 0
    for got, expected in zip(
        int8_quantize(weight, group_size), reference.int8_quantize(weight, group_size), strict=True
    ):
        assert got.dtype == expected.dtype
        assert torch.equal(got.cpu(), expected)


@pytest.mark.parametrize("group_size, scale_shape", [(4, (3, 3)), (0, (3,))])
def test_zero_weights_dequantize_to_zero(group_size, scale_shape):
    weight = torch.zeros(3, 10)
    weight[1, :4] = 1e-30
    codes, scale = int8_quantize(weight.half(), group_size)
    assert torch.equal(scale, torch.zeros(scale_shape).half())
    assert torch.equal(int8_dequantize(codes, scale, group_size), torch.zeros(3, 10).half())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("group_size, columns", [(4, slice(4, 8)), (0, slice(None))])
def test_quantizing_a_non_finite_weight_gives_nan(bad, group_size, columns):
    weight = torch.randn(3, 12)
    weight[1, 5] = bad
    dequantized = int8_dequantize(*int8_quantize(weight, group_size), group_size)
    is_nan = torch.zeros(3, 12, dtype=torch.bool)
    is_nan[1, columns] = True
    assert torch.equal(dequantized.isnan(), is_nan)
    assert dequantized[~is_nan].isfinite().all()


@pytest.mark.parametrize("dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("scale_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("group_size", [0, 7, 32])
@pytest.mark.parametrize("in_features", [1, 67, 256])
def test_dequantize_equals_the_reference(dtype, scale_dtype, group_size, in_features):
    weight = Int8Weight.random(9, in_features, group_size, scale_dtype)
    got = int8_dequantize(*weight.mm_args, dtype)
    expected = reference.int8_dequantize(*weight.mm_args, arithmetic=torch.float32).to(dtype or scale_dtype)
    assert got.dtype == expected.dtype
    assert torch.equal(got.cpu(), expected)


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("group_size", [0, 32])
def test_mm_takes_every_combination_of_dtypes(op, x_dtype, group_size):
    x = torch.randn(5, 70).to(x_dtype)
    for scale_dtype, bias_dtype in itertools.product(FLOAT_DTYPES, (None, *FLOAT_DTYPES)):
        weight = Int8Weight.random(11, 70, group_size, scale_dtype)
        bias = None if bias_dtype is None else torch.randn(11).to(bias_dtype)
        y = operator(op)(x, *weight.mm_args, bias)
        assert y.dtype == x_dtype
        expected = REFERENCE_OF[op](x, weight.exact(), bias)
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
    group_size=st.one_of(st.just(0), st.integers(1, 320), st.just(2**63 - 1)),
    x_dtype=st.sampled_from(FLOAT_DTYPES),
    scale_dtype=st.sampled_from(FLOAT_DTYPES),
    with_bias=st.booleans(),
    op=st.sampled_from(INT8_MM_OPERATORS),
)
def test_mm_takes_any_shape(batch, out_features, in_features, group_size, x_dtype, scale_dtype, with_bias, op):
    weight = Int8Weight.random(out_features, in_features, group_size, scale_dtype)
    x = torch.randn(*batch, in_features).to(x_dtype)
    bias = torch.randn(out_features).to(x_dtype) if with_bias else None
    y = operator(op)(x, *weight.mm_args, bias)
    assert y.shape == (*batch, out_features)
    assert y.dtype == x_dtype
    expected = REFERENCE_OF[op](x, weight.exact(), bias)
    # Not relative to the norm of the result, which may be small by cancellation.
    bound = (x.cpu().double().abs() @ weight.exact().abs().T).norm() + expected.norm()
    assert (y.cpu().double() - expected).norm() <= TOLERANCE[x_dtype] * bound


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("group_size", [0, 32])
def test_no_columns_give_the_bias_or_zeros(op, group_size):
    weight = Int8Weight.random(6, 0, group_size)
    x, bias = torch.randn(3, 0), torch.randn(6)
    assert torch.equal(operator(op)(x, *weight.mm_args), torch.zeros(3, 6))
    assert torch.equal(operator(op)(x, *weight.mm_args, bias), bias.expand(3, 6))


@pytest.mark.parametrize("shape", [(0, 8), (4, 0), (0, 0)])
@pytest.mark.parametrize("group_size", [0, 4])
def test_empty_weights(shape, group_size):
    codes, scale = int8_quantize(torch.empty(shape), group_size)
    assert codes.shape == shape
    assert torch.equal(scale, torch.zeros(shape[0]) if group_size == 0 else torch.empty(shape[0], shape[1] // 4))
    assert int8_dequantize(codes, scale, group_size).shape == shape


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
@pytest.mark.parametrize("group_size", [0, 128])
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_mm_is_at_least_as_exact_as_a_dense_product(rows, out_features, in_features, group_size, dtype, device):
    weight = Int8Weight.random(out_features, in_features, group_size)
    exact = weight.exact()
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    expected = reference.mm(x, exact, bias)
    ours = reference.relative_error(int8_mm(x, *weight.mm_args, bias), expected)
    dense = reference.relative_error(F.linear(x, exact.to(x), bias), expected)
    if device == "cuda":
        # There, many rows are a dense product with the weight that is rounded for `dense` as well, and fp32 sums are of another order: equal
        # but for the noise of a few roundings.
        dense = max(1.01 * dense, TOLERANCE[torch.float32])
    assert ours <= dense


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("group_size", [0, 128])
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_dynamic_mm_is_exact_but_for_the_rounding_of_x(rows, out_features, in_features, group_size, dtype):
    weight = Int8Weight.random(out_features, in_features, group_size)
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    y = int8_dynamic_mm(x, *weight.mm_args, bias)
    assert reference.relative_error(y, reference.dynamic_mm(x, weight.exact(), bias)) < TOLERANCE[dtype]
    # And the rounding itself costs what 8 bits cost.
    assert reference.relative_error(y, reference.mm(x, weight.exact(), bias)) < 0.015


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_dynamic_mm_with_row_scales_is_the_formula(dtype):
    """Bit for bit, and so the same for every number of rows."""
    weight = Int8Weight.random(130, 1100)
    x, bias = torch.randn(70, 1100).to(dtype), torch.randn(130)
    x_cpu, codes, scale, bias_cpu = (tensor.cpu() for tensor in (x, weight.codes, weight.scale, bias))
    x_scale = (x_cpu.float().abs().amax(1, keepdim=True) / 127).float()
    q = (x_cpu.float() / x_scale).round().clamp(-127, 127)
    sums = (q.double() @ codes.double().T).float()  # exact: the sums are integers below 2^53
    expected = (sums * scale * x_scale + bias_cpu).to(dtype)
    for rows in (1, 2, 5, 17, 70):
        assert torch.equal(int8_dynamic_mm(x[:rows], *weight.mm_args, bias).cpu(), expected[:rows])


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_the_largest_products_do_not_saturate(rows):
    codes = torch.full((33, 1000), -128, dtype=torch.int8)
    codes[1::2, ::2] = 127
    x = torch.full((rows, 1000), 127.0)
    x[::2] *= -1
    assert torch.equal(int8_dynamic_mm(x, codes, torch.ones(33)).double(), x.double() @ codes.double().T)


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("group_size", [0, 32])
@pytest.mark.parametrize("where", ["x", "weight_scale", "bias"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_values_reach_the_results_that_they_reach_in_a_dense_product(
    op, dtype, rows, group_size, where, bad
):
    weight = Int8Weight.random(40, 96, group_size)
    operands = {
        "x": torch.randn(rows, 96).to(dtype),
        "weight_scale": weight.scale.clone(),
        "bias": torch.randn(40).to(dtype),
    }
    operand = operands[where]
    operand[(operand.shape[0] // 2, 1)[: operand.dim()]] = bad
    x, scale, bias = operands.values()
    y = operator(op)(x, weight.codes, scale, group_size, bias).cpu()
    # In float64 the dense product of finite operands here cannot overflow, so the masks are those of the inputs.
    expected = reference.mm(x, reference.int8_dequantize(weight.codes, scale, group_size), bias)
    assert (~expected.isfinite()).any()
    assert torch.equal(y.isfinite(), expected.isfinite())
    if op == "int8_mm":
        assert torch.equal(y.isnan(), expected.isnan())
        assert torch.equal(y[y.isinf()].double(), expected[expected.isinf()])


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("group_size", [0, 32])
def test_zeros_give_exact_zeros(op, rows, group_size):
    weight = Int8Weight.random(33, 100, group_size)
    x = torch.randn(rows, 100)
    zeros = torch.zeros(rows, 33)
    assert torch.equal(operator(op)(torch.zeros(rows, 100), *weight.mm_args), zeros)
    assert torch.equal(operator(op)(x, weight.codes, torch.zeros_like(weight.scale), group_size), zeros)
    assert torch.equal(operator(op)(x, torch.zeros_like(weight.codes), weight.scale, group_size), zeros)


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
def test_subnormals_are_kept(op):
    tiny = torch.finfo(torch.float32).smallest_normal / 64
    x = torch.full((2, 32), tiny)
    y = operator(op)(x, torch.ones(4, 32, dtype=torch.int8), torch.ones(4))
    torch.testing.assert_close(y, torch.full((2, 4), 32 * tiny), rtol=1e-3, atol=0)


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("group_size", [0, 32])
def test_rows_do_not_depend_on_each_other(op, rows, group_size):
    weight = Int8Weight.random(48, 160, group_size)
    x = torch.randn(rows, 160)
    disturbed = x.clone()
    disturbed[1:] = 1e4 * torch.randn(rows - 1, 160)
    assert torch.equal(operator(op)(x, *weight.mm_args)[0], operator(op)(disturbed, *weight.mm_args)[0])


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
def test_leading_dimensions_are_rows(op):
    weight = Int8Weight.random(24, 64)
    x = torch.randn(3, 5, 64)
    flat = operator(op)(x.reshape(15, 64), *weight.mm_args)
    assert torch.equal(operator(op)(x, *weight.mm_args), flat.reshape(3, 5, 24))


@pytest.mark.parametrize("op", [*INT8_MM_OPERATORS, "int8_dequantize"])
def test_more_than_two_to_the_31_weights(op, device):
    out_features, in_features = 65544, 32768
    needed, available = 8 << 30, available_memory(device)
    if available < needed:
        pytest.skip(f"needs {needed >> 30} GiB of free memory on {device}, which has {available / (1 << 30):.1f}")
    row = torch.randint(-128, 128, (in_features,), dtype=torch.int8)
    codes = row ^ torch.arange(out_features).to(torch.int8)[:, None]
    scale = torch.full((out_features,), 0.001)
    last = slice(out_features - 4, None)
    exact = reference.int8_dequantize(codes[last], scale[last])
    if op == "int8_dequantize":
        dequantized = int8_dequantize(codes, scale, dtype=torch.bfloat16)
        assert torch.equal(dequantized[last].cpu(), exact.float().bfloat16())
        return
    x = torch.randn(1, in_features)
    y = operator(op)(x, codes, scale)
    assert reference.relative_error(y[:, last], REFERENCE_OF[op](x, exact)) < 1e-5
