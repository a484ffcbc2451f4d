"""int4 operators against the reference: every dtype, ragged and empty sizes, NaN and Inf, the numerics contract.

test_library.py runs this file once more for every other instruction set of the machine.
"""

import itertools

import hypothesis
import pytest
import reference
import torch
from helpers import FLOAT_DTYPES, MM_OPERATORS, Int4Weight, available_memory, operator
from hypothesis import strategies as st
from torch.nn import functional as F
from torchao_ops import int4_dequantize, int4_dynamic_mm, int4_mm, int4_quantize

pytestmark = pytest.mark.usefixtures("device")

REFERENCE_OF = {"int4_mm": reference.mm, "int4_dynamic_mm": reference.dynamic_mm}

# Relative Frobenius errors of a result that is computed in fp32 and rounded once: half a unit in the last place, and for
# fp32 the accumulation.
TOLERANCE = {torch.float32: 5e-7, torch.float16: 4e-4, torch.bfloat16: 3e-3}


def test_quantize_example():
    weight = torch.tensor([[0.0, 1.5, 3.0, 7.5, -1.0, 0.0, 6.5, 0.25, 2.0]])
    packed, scale, zero_point = int4_quantize(weight, group_size=4)
    # Groups: 0..7.5 in steps of 0.5; -1..6.5 in steps of 0.5, zero at code 2; a last group of one, 0..2.
    assert scale.tolist() == [[0.5, 0.5, pytest.approx(2 / 15)]]
    assert zero_point.tolist() == [[0, 2, 0]]
    # 0.25 / 0.5 is a tie and rounds to the even 0.
    assert packed.tolist() == [[0x30, 0xF6, 0x20, 0x2F, 0x0F]]
    assert int4_dequantize(packed, scale, zero_point, 4, 9).tolist() == [
        [0.0, 1.5, 3.0, 7.5, -1.0, 0.0, 6.5, 0.0, pytest.approx(2)]
    ]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize(
    "shape, group_size", [((5, 7), 3), ((3, 64), 32), ((16, 384), 256), ((4, 33), 1000), ((1, 1), 1)]
)
def test_quantize_equals_the_reference(shape, group_size, dtype, symmetric):
    weight = torch.randn(shape).to(dtype)
    weight[0, 0] = 0
    for got, expected in zip(
        int4_quantize(weight, group_size, symmetric), reference.quantize(weight, group_size, symmetric), strict=True
    ):
        assert got.dtype == expected.dtype
        assert torch.equal(got.cpu(), expected)


@pytest.mark.parametrize("symmetric", [False, True])
def test_zero_weights_dequantize_to_zero(symmetric):
    weight = torch.zeros(3, 10)
    weight[1, :4] = 1e-30
    packed, scale, zero_point = int4_quantize(weight.half(), 4, symmetric)
    assert torch.equal(scale, torch.zeros(3, 3).half())
    assert torch.equal(int4_dequantize(packed, scale, zero_point, 4, 10), torch.zeros(3, 10).half())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_quantizing_a_non_finite_weight_gives_a_nan_group(bad):
    weight = torch.randn(3, 12)
    weight[1, 5] = bad
    packed, scale, zero_point = int4_quantize(weight, 4)
    dequantized = int4_dequantize(packed, scale, zero_point, 4, 12)
    is_nan = torch.zeros(3, 12, dtype=torch.bool)
    is_nan[1, 4:8] = True
    assert torch.equal(dequantized.isnan(), is_nan)
    assert dequantized[~is_nan].isfinite().all()


@pytest.mark.parametrize("dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("scale_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("zero_point_dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("in_features", [1, 67, 256])
def test_dequantize_equals_the_reference(dtype, scale_dtype, zero_point_dtype, in_features):
    weight = Int4Weight.random(9, in_features, 32, scale_dtype, zero_point_dtype)
    got = int4_dequantize(*weight.dequantize_args, dtype)
    expected = reference.dequantize(*weight.dequantize_args, arithmetic=torch.float32).to(dtype or scale_dtype)
    assert got.dtype == expected.dtype
    assert torch.equal(got.cpu(), expected)


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
def test_mm_takes_every_combination_of_dtypes(op, x_dtype):
    x = torch.randn(5, 70).to(x_dtype)
    for scale_dtype, zero_point_dtype, bias_dtype in itertools.product(
        FLOAT_DTYPES, (None, *FLOAT_DTYPES), (None, *FLOAT_DTYPES)
    ):
        weight = Int4Weight.random(11, 70, 32, scale_dtype, zero_point_dtype)
        bias = None if bias_dtype is None else torch.randn(11).to(bias_dtype)
        y = operator(op)(x, *weight.mm_args, bias)
        assert y.dtype == x_dtype
        expected = REFERENCE_OF[op](x, weight.exact(), bias)
        assert reference.relative_error(y, expected) < TOLERANCE[x_dtype], (scale_dtype, zero_point_dtype, bias_dtype)


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
    group_size=st.one_of(st.integers(1, 320), st.just(2**63 - 1)),
    x_dtype=st.sampled_from(FLOAT_DTYPES),
    scale_dtype=st.sampled_from(FLOAT_DTYPES),
    with_zero_point=st.booleans(),
    with_bias=st.booleans(),
    op=st.sampled_from(MM_OPERATORS),
)
def test_mm_takes_any_shape(
    batch, out_features, in_features, group_size, x_dtype, scale_dtype, with_zero_point, with_bias, op
):
    weight = Int4Weight.random(
        out_features, in_features, group_size, scale_dtype, scale_dtype if with_zero_point else None
    )
    x = torch.randn(*batch, in_features).to(x_dtype)
    bias = torch.randn(out_features).to(x_dtype) if with_bias else None
    y = operator(op)(x, *weight.mm_args, bias)
    assert y.shape == (*batch, out_features)
    assert y.dtype == x_dtype
    expected = REFERENCE_OF[op](x, weight.exact(), bias)
    # Not relative to the norm of the result, which may be small by cancellation.
    bound = (x.cpu().double().abs() @ weight.exact().abs().T).norm() + expected.norm()
    assert (y.cpu().double() - expected).norm() <= TOLERANCE[x_dtype] * bound


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_no_columns_give_the_bias_or_zeros(op):
    weight = Int4Weight.random(6, 0, 32)
    x, bias = torch.randn(3, 0), torch.randn(6)
    assert torch.equal(operator(op)(x, *weight.mm_args), torch.zeros(3, 6))
    assert torch.equal(operator(op)(x, *weight.mm_args, bias), bias.expand(3, 6))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("shape", [(0, 8), (4, 0), (0, 0)])
def test_empty_weights(shape, symmetric):
    packed, scale, zero_point = int4_quantize(torch.empty(shape), 4, symmetric)
    assert packed.shape == (shape[0], shape[1] // 2)
    assert scale.shape == zero_point.shape == (shape[0], shape[1] // 4)
    assert int4_dequantize(packed, scale, zero_point, 4, shape[1]).shape == shape


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
@pytest.mark.parametrize("group_size", [32, 128])
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_mm_is_at_least_as_exact_as_a_dense_product(rows, out_features, in_features, group_size, dtype, device):
    weight = Int4Weight.random(out_features, in_features, group_size)
    exact = weight.exact()
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    expected = reference.mm(x, exact, bias)
    ours = reference.relative_error(int4_mm(x, *weight.mm_args, bias), expected)
    dense = reference.relative_error(F.linear(x, exact.to(x), bias), expected)
    if device == "cuda":
        # There, many rows are a dense product with the weight that is rounded for `dense` as well, and fp32 sums are of another order: equal
        # but for the noise of a few roundings.
        dense = max(1.01 * dense, TOLERANCE[torch.float32])
    assert ours <= dense


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_dynamic_mm_is_exact_but_for_the_rounding_of_x(rows, out_features, in_features, dtype):
    weight = Int4Weight.random(out_features, in_features, 32)
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    y = int4_dynamic_mm(x, *weight.mm_args, bias)
    assert reference.relative_error(y, reference.dynamic_mm(x, weight.exact(), bias)) < TOLERANCE[dtype]
    # And the rounding itself costs what 8 bits cost.
    assert reference.relative_error(y, reference.mm(x, weight.exact(), bias)) < 0.015


def test_fractional_zero_points():
    weight = Int4Weight.random(8, 96, 32)
    fractional = weight.zero_point + torch.rand_like(weight.zero_point)
    exact = reference.dequantize(weight.packed, weight.scale, fractional, 32, 96)
    x = torch.randn(4, 96)
    for op in MM_OPERATORS:
        y = operator(op)(x, weight.packed, weight.scale, fractional, 32)
        assert reference.relative_error(y, REFERENCE_OF[op](x, exact)) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("where", ["x", "weight_scale", "weight_zero_point", "bias"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_values_reach_the_results_that_they_reach_in_a_dense_product(op, dtype, rows, where, bad):
    weight = Int4Weight.random(40, 96, 32)
    operands = {
        "x": torch.randn(rows, 96).to(dtype),
        "weight_scale": weight.scale.clone(),
        "weight_zero_point": weight.zero_point.clone(),
        "bias": torch.randn(40).to(dtype),
    }
    place = (operands[where].shape[0] // 2,) if where == "bias" else (operands[where].shape[0] // 2, 1)
    operands[where][place] = bad
    x, scale, zero_point, bias = operands.values()
    y = operator(op)(x, weight.packed, scale, zero_point, 32, bias).cpu()
    # In float64 the dense product of finite operands here cannot overflow, so the masks are those of the inputs.
    expected = reference.mm(x, reference.dequantize(weight.packed, scale, zero_point, 32, 96), bias)
    assert (~expected.isfinite()).any()
    assert torch.equal(y.isfinite(), expected.isfinite())
    if op == "int4_mm":
        assert torch.equal(y.isnan(), expected.isnan())
        assert torch.equal(y[y.isinf()].double(), expected[expected.isinf()])


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_zeros_give_exact_zeros(op, rows):
    weight = Int4Weight.random(33, 100, 32)
    x = torch.randn(rows, 100)
    assert torch.equal(operator(op)(torch.zeros(rows, 100), *weight.mm_args), torch.zeros(rows, 33))
    no_scale = torch.zeros_like(weight.scale)
    assert torch.equal(operator(op)(x, weight.packed, no_scale, weight.zero_point, 32), torch.zeros(rows, 33))


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_subnormals_are_kept(op):
    weight = Int4Weight(torch.full((4, 16), 0x99, dtype=torch.uint8), torch.ones(4, 1), None, 32, 32)
    tiny = torch.finfo(torch.float32).smallest_normal / 64
    x = torch.full((2, 32), tiny)
    y = operator(op)(x, *weight.mm_args)
    torch.testing.assert_close(y, torch.full((2, 4), 32 * tiny), rtol=1e-3, atol=0)


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_rows_do_not_depend_on_each_other(op, rows):
    weight = Int4Weight.random(48, 160, 32)
    x = torch.randn(rows, 160)
    disturbed = x.clone()
    disturbed[1:] = 1e4 * torch.randn(rows - 1, 160)
    assert torch.equal(operator(op)(x, *weight.mm_args)[0], operator(op)(disturbed, *weight.mm_args)[0])


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_leading_dimensions_are_rows(op):
    weight = Int4Weight.random(24, 64, 32)
    x = torch.randn(3, 5, 64)
    flat = operator(op)(x.reshape(15, 64), *weight.mm_args)
    assert torch.equal(operator(op)(x, *weight.mm_args), flat.reshape(3, 5, 24))


@pytest.mark.parametrize("op", [*MM_OPERATORS, "int4_dequantize"])
def test_more_than_two_to_the_31_weights(op, device):
    out_features, in_features = 65544, 32768
    needed, available = 8 << 30, available_memory(device)
    if available < needed:
        pytest.skip(f"needs {needed >> 30} GiB of free memory on {device}, which has {available / (1 << 30):.1f}")
    row = torch.randint(0, 256, (in_features // 2,), dtype=torch.uint8)
    packed = row ^ torch.arange(out_features).to(torch.uint8)[:, None]
    scale = torch.full((out_features, 1), 0.01)
    last = slice(out_features - 4, None)
    exact = reference.dequantize(packed[last], scale[last], None, in_features, in_features)
    if op == "int4_dequantize":
        dequantized = int4_dequantize(packed, scale, None, in_features, in_features, torch.bfloat16)
        assert torch.equal(dequantized[last].cpu(), exact.float().bfloat16())
        return
    x = torch.randn(1, in_features)
    y = operator(op)(x, packed, scale, None, in_features)
    assert reference.relative_error(y[:, last], REFERENCE_OF[op](x, exact)) < 1e-5
