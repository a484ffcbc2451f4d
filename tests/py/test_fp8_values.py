"""fp8 operators against the reference: every dtype and granularity, all codes, ragged and empty sizes, NaN and Inf, the numerics contract.

test_library.py runs this file once more for every other instruction set of the machine.
"""

import itertools

import hypothesis
import pytest
import reference
import torch
from helpers import (
    FLOAT8_DTYPES,
    FLOAT_DTYPES,
    FP8_MM_OPERATORS,
    GRANULARITIES,
    Fp8Matrix,
    available_memory,
    fp8_scale_shape,
    operator,
)
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torchao_ops import fp8_dequantize, fp8_dynamic_mm, fp8_mm, fp8_quantize, fp8_scaled_mm

pytestmark = pytest.mark.usefixtures("device")

# Relative Frobenius errors of a result that is computed in fp32 and rounded once: half a unit in the last place, and for
# fp32 the accumulation.
TOLERANCE = {torch.float32: 5e-7, torch.float16: 4e-4, torch.bfloat16: 3e-3}
PAIRS_OF_DTYPES = list(itertools.product(FLOAT_DTYPES, FLOAT_DTYPES))
# Of products of two fp8 matrices on CUDA, whose tensor cores keep some 14 bits of a term within an instruction.
FP8_SUMS_TOLERANCE = 5e-4
# What the rounding of activations costs: half a unit in the last of 3 or 2 bits after the point.
ROUNDING = {torch.float8_e4m3fn: 0.04, torch.float8_e5m2: 0.08}


def expected_product(op: str, x: Tensor, weight: Tensor, dtype: torch.dtype, bias: Tensor | None = None) -> Tensor:
    return reference.mm(x, weight, bias) if op == "fp8_mm" else reference.dynamic_mm(x, weight, bias, dtype)


def tolerance(op: str, y: Tensor) -> float:
    return TOLERANCE[y.dtype] + (FP8_SUMS_TOLERANCE if y.is_cuda and op != "fp8_mm" else 0)


def same(got: Tensor, expected: Tensor) -> bool:
    """Equal, NaN being equal to NaN."""
    got, expected = got.cpu(), expected.cpu()
    return (
        got.dtype == expected.dtype
        and torch.equal(got.isnan(), expected.isnan())
        and torch.equal(
            got.nan_to_num(nan=0, posinf=1e38, neginf=-1e38), expected.nan_to_num(nan=0, posinf=1e38, neginf=-1e38)
        )
    )


def test_quantize_example():
    x = torch.tensor([[896.0, 1.0, -34.0, 35.0, -896.0], [0.0, 224.0, 0.5, 8.5, 8.75]])
    codes, scale = fp8_quantize(x)
    # Steps of 1 / 8 of a power of two; halves of a step round to even.
    assert codes.dtype == torch.float8_e4m3fn
    assert scale.tolist() == [2, 0.5]
    assert codes.float().tolist() == [[448, 0.5, -16, 18, -448], [0, 448, 1, 16, 18]]
    assert fp8_dequantize(codes, scale).tolist() == [[896, 1, -32, 36, -896], [0, 224, 0.5, 8, 9]]

    codes, scale = fp8_quantize(x * 64, torch.float8_e5m2, "tensor")
    # Steps of 1 / 4: 1088 lies in the middle of 1024 and 1280, nearer to the former.
    assert scale.shape == () and scale.item() == 1
    assert codes.float().tolist() == [[57344, 64, -2048, 2048, -57344], [0, 14336, 32, 512, 512]]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (3, 128), (4, 129), (130, 300), (257, 31)])
def test_quantize_equals_the_reference(shape, granularity, code_dtype, dtype):
    x = (torch.randn(shape) * 10 ** torch.randn(shape[0], 1)).to(dtype)
    x[0, 0] = 0
    codes, scale = fp8_quantize(x, code_dtype, granularity)
    expected_codes, expected_scale = reference.fp8_quantize(x, code_dtype, granularity)
    assert (codes.dtype, scale.dtype) == (code_dtype, dtype)
    assert scale.shape == fp8_scale_shape(*shape, granularity)
    assert torch.equal(scale.cpu(), expected_scale)
    assert torch.equal(reference.bits(codes), reference.bits(expected_codes))


def test_quantize_saturates_where_the_scale_is_rounded_down():
    """A subnormal fp16 scale: the quotient is more than the largest number, of which torch's conversion makes NaN."""
    x = torch.tensor([[-1.49 * 448 * 2.0**-24]]).half()
    codes, scale = fp8_quantize(x)
    assert scale.item() == 2.0**-24
    assert codes.float().item() == -448


@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_zeros_dequantize_to_zeros(granularity, code_dtype):
    x = torch.zeros(130, 200).half()
    x[1, :4] = 6e-8  # so small that the scale is 0
    codes, scale = fp8_quantize(x, code_dtype, granularity)
    assert torch.equal(scale, torch.zeros(fp8_scale_shape(130, 200, granularity)).half())
    assert torch.equal(fp8_dequantize(codes, scale), torch.zeros(130, 200).half())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize(
    "granularity, part",
    [
        ("tensor", (slice(None), slice(None))),
        ("row", (129, slice(None))),
        ("block", (slice(128, None), slice(128, 256))),
        ("group", (129, slice(128, 256))),
    ],
)
def test_quantizing_what_is_not_finite_gives_nan(bad, code_dtype, granularity, part):
    x = torch.randn(131, 300)
    x[129, 130] = bad
    dequantized = fp8_dequantize(*fp8_quantize(x, code_dtype, granularity))
    is_nan = torch.zeros(131, 300, dtype=torch.bool)
    is_nan[part] = True
    assert torch.equal(dequantized.isnan(), is_nan)
    assert dequantized[~is_nan].isfinite().all()


@pytest.mark.parametrize("dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("shape", [(9, 1), (9, 67), (131, 256), (1, 300)])
def test_dequantize_equals_the_reference(shape, granularity, code_dtype, dtype):
    for scale_dtype in FLOAT_DTYPES:
        matrix = Fp8Matrix.random(*shape, code_dtype, granularity, scale_dtype)
        expected = reference.fp8_dequantize(*matrix.args, arithmetic=torch.float32).to(dtype or scale_dtype)
        assert same(fp8_dequantize(*matrix.args, dtype), expected)


@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
def test_every_code_is_the_number_that_it_is(code_dtype):
    """NaN and Inf among them; in a column of its own, and as the only column."""
    column = torch.arange(256).to(torch.uint8)[:, None].view(code_dtype)
    numbers = column.float()
    wide = torch.zeros(256, 150, dtype=torch.uint8).view(code_dtype)
    wide[:, 130:131] = column
    for dtype in FLOAT_DTYPES:
        assert same(fp8_dequantize(column, torch.tensor(1.0), dtype), numbers.to(dtype))
    one = torch.tensor(1.0)
    for codes, rows, dtype in itertools.product((column, wide), (1, 5, 40), FLOAT_DTYPES):
        x = torch.randn(rows, codes.shape[1])
        x[:, -20:] = 1
        expected = numbers.to(dtype).t().expand(rows, 256)
        assert same(fp8_mm(x.to(dtype), codes, one), expected)
        for a_dtype in FLOAT8_DTYPES:
            assert same(fp8_scaled_mm(x.to(a_dtype), codes, one, one, out_dtype=dtype), expected)
        # A row of ones, since the rounding of anything else has to be applied as well. NaN may take the place of an Inf.
        y = fp8_dynamic_mm(torch.ones_like(x).to(dtype), codes, one)
        assert torch.equal(y.isfinite(), expected.isfinite())
        finite = expected.isfinite()
        torch.testing.assert_close(y[finite], expected[finite], rtol=2 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_mm_takes_every_combination_of_dtypes(op, x_dtype, code_dtype, granularity):
    combinations = itertools.product(FLOAT_DTYPES, (None, *FLOAT_DTYPES))
    for rows, (scale_dtype, bias_dtype) in zip(itertools.cycle((3, 17, 1)), combinations):
        x = torch.randn(rows, 170).to(x_dtype)
        weight = Fp8Matrix.random(131, 170, code_dtype, granularity, scale_dtype)
        bias = None if bias_dtype is None else torch.randn(131).to(bias_dtype)
        y = operator(op)(x, *weight.args, bias)
        assert y.dtype == x_dtype
        expected = expected_product(op, x, weight.exact(), code_dtype, bias)
        assert reference.relative_error(y, expected) < tolerance(op, y), (rows, scale_dtype, bias_dtype)


@pytest.mark.parametrize("a_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("b_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("a_granularity", GRANULARITIES)
@pytest.mark.parametrize("b_granularity", GRANULARITIES)
def test_scaled_mm_takes_every_combination(a_dtype, b_dtype, a_granularity, b_granularity):
    # Of the other dtypes, each pair.
    others = zip(itertools.cycle((1, 133)), PAIRS_OF_DTYPES, (*PAIRS_OF_DTYPES[4:], *PAIRS_OF_DTYPES[:4]))
    for rows, (a_scale, b_scale), (bias_dtype, out_dtype) in others:
        a = Fp8Matrix.random(rows, 170, a_dtype, a_granularity, a_scale)
        b = Fp8Matrix.random(131, 170, b_dtype, b_granularity, b_scale)
        bias = torch.randn(131).to(bias_dtype)
        y = fp8_scaled_mm(a.codes, b.codes, a.scale, b.scale, bias, out_dtype)
        assert y.dtype == out_dtype
        assert reference.relative_error(y, reference.mm(a.exact(), b.exact(), bias)) < tolerance("fp8_scaled_mm", y)
    without_bias = fp8_scaled_mm(a.codes, b.codes, a.scale, b.scale)
    assert without_bias.dtype == torch.bfloat16
    expected = reference.mm(a.exact(), b.exact())
    assert reference.relative_error(without_bias, expected) < tolerance("fp8_scaled_mm", without_bias)


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@hypothesis.given(
    batch=st.lists(st.integers(0, 9), max_size=3),
    out_features=st.integers(0, 140),
    in_features=st.integers(0, 300),
    code_dtype=st.sampled_from(FLOAT8_DTYPES),
    granularity=st.sampled_from(GRANULARITIES),
    x_dtype=st.sampled_from(FLOAT_DTYPES),
    scale_dtype=st.sampled_from(FLOAT_DTYPES),
    with_bias=st.booleans(),
    op=st.sampled_from((*FP8_MM_OPERATORS, "fp8_scaled_mm")),
)
def test_products_take_any_shape(
    batch, out_features, in_features, code_dtype, granularity, x_dtype, scale_dtype, with_bias, op
):
    weight = Fp8Matrix.random(out_features, in_features, code_dtype, granularity, scale_dtype)
    bias = torch.randn(out_features).to(x_dtype) if with_bias else None
    x = torch.randn(*batch, in_features).to(x_dtype)
    if op == "fp8_scaled_mm":
        batch = [torch.Size(batch).numel()]
        a = Fp8Matrix.random(*batch, in_features, granularity=granularity)
        y = fp8_scaled_mm(a.codes, weight.codes, a.scale, weight.scale, bias, x_dtype)
        x = a.exact()
        expected = reference.mm(x, weight.exact(), bias)
    else:
        y = operator(op)(x, *weight.args, bias)
        expected = expected_product(op, x, weight.exact(), code_dtype, bias)
    assert y.shape == (*batch, out_features)
    assert y.dtype == x_dtype
    # Not relative to the norm of the result, which may be small by cancellation.
    bound = (x.cpu().double().abs() @ weight.exact().abs().T).norm() + expected.norm()
    # Products of two small numbers may be subnormal in fp16, or zeros.
    subnormal = y.numel() ** 0.5 * torch.finfo(x_dtype).tiny * torch.finfo(x_dtype).eps
    assert (y.cpu().double() - expected).norm() <= tolerance(op, y) * bound + subnormal


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_no_columns_give_the_bias_or_zeros(granularity):
    weight, a = Fp8Matrix.random(6, 0, granularity=granularity), Fp8Matrix.random(3, 0, granularity=granularity)
    x, bias = torch.randn(3, 0), torch.randn(6)
    for op in FP8_MM_OPERATORS:
        assert torch.equal(operator(op)(x, *weight.args), torch.zeros(3, 6))
        assert torch.equal(operator(op)(x, *weight.args, bias), bias.expand(3, 6))
    operands = a.codes, weight.codes, a.scale, weight.scale
    assert torch.equal(fp8_scaled_mm(*operands), torch.zeros(3, 6).bfloat16())
    assert torch.equal(fp8_scaled_mm(*operands, bias, torch.float32), bias.expand(3, 6))


@pytest.mark.parametrize("shape", [(0, 8), (4, 0), (0, 0)])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_empty_matrices(shape, granularity):
    codes, scale = fp8_quantize(torch.empty(shape), granularity=granularity)
    assert (codes.shape, codes.dtype) == (shape, torch.float8_e4m3fn)
    assert torch.equal(scale, torch.zeros(fp8_scale_shape(*shape, granularity)))
    assert fp8_dequantize(codes, scale).shape == shape


# Sizes on both sides of the change of algorithm, and the real model's.
CONTRACT_SHAPES = [(1, 384, 384), (6, 1536, 384), (7, 257, 1031), (13, 130, 1030), (64, 384, 384), (128, 256, 1024)]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_mm_is_at_least_as_exact_as_a_dense_product(
    rows, out_features, in_features, granularity, code_dtype, dtype, device
):
    weight = Fp8Matrix.random(out_features, in_features, code_dtype, granularity)
    exact = weight.exact()
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    expected = reference.mm(x, exact, bias)
    ours = reference.relative_error(fp8_mm(x, *weight.args, bias), expected)
    dense = reference.relative_error(F.linear(x, exact.to(device, dtype), bias), expected)
    if device == "cuda":
        # As in test_int8_values.py: many rows are a dense product as well.
        dense = max(1.01 * dense, TOLERANCE[torch.float32])
    assert ours <= dense


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_dynamic_mm_is_exact_but_for_the_rounding_of_x(rows, out_features, in_features, granularity, code_dtype, dtype):
    weight = Fp8Matrix.random(out_features, in_features, code_dtype, granularity)
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    y = fp8_dynamic_mm(x, *weight.args, bias)
    rounded = reference.dynamic_mm(x, weight.exact(), bias, code_dtype)
    assert reference.relative_error(y, rounded) < tolerance("fp8_dynamic_mm", y)
    # And the rounding itself costs what 8 bits cost.
    assert reference.relative_error(y, reference.mm(x, weight.exact(), bias)) < ROUNDING[code_dtype]


@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
def test_scaled_mm_of_what_was_quantized_is_dynamic_mm(code_dtype):
    """Up to roundings: with fp32 the scales of the rows are the same, and so are the rounded numbers."""
    weight, x = Fp8Matrix.random(130, 300, code_dtype), torch.randn(20, 300)
    codes, scale = fp8_quantize(x, code_dtype, "row")
    y = fp8_scaled_mm(codes, weight.codes, scale, weight.scale, out_dtype=torch.float32)
    assert reference.relative_error(fp8_dynamic_mm(x, *weight.args), y) < 2 * tolerance("fp8_scaled_mm", y)


@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.parametrize("where", ["x", "weight", "scale", "bias"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
def test_non_finite_values_reach_the_results_that_they_reach_in_a_dense_product(rows, where, bad, code_dtype):
    for op, granularity, dtype in itertools.product(FP8_MM_OPERATORS, GRANULARITIES, FLOAT_DTYPES):
        codes, scale = Fp8Matrix.random(140, 150, code_dtype, granularity).args
        operands = {"x": torch.randn(rows, 150).to(dtype), "weight": codes, "scale": scale, "bias": torch.randn(140)}
        operand = operands[where]
        operand[(operand.shape[0] // 2, 1)[: operand.dim()] if operand.dim() else ...] = bad
        y = operator(op)(*operands.values()).cpu()
        # In float64 the dense product of finite operands here cannot overflow, so the masks are those of the inputs.
        expected = reference.mm(operands["x"], reference.fp8_dequantize(codes, scale), operands["bias"])
        assert (~expected.isfinite()).any()
        assert torch.equal(y.isfinite(), expected.isfinite())
        if op == "fp8_mm":
            assert torch.equal(y.isnan(), expected.isnan())
            assert torch.equal(y[y.isinf()].double(), expected[expected.isinf()])


@pytest.mark.parametrize("where", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_non_finite_values_in_scaled_mm(where, bad, granularity):
    a, b = (Fp8Matrix.random(rows, 150, torch.float8_e5m2, granularity) for rows in (20, 140))
    operands = [a.codes, b.codes, a.scale, b.scale, torch.randn(140)]
    operand = operands[where]
    operand[(operand.shape[0] // 2, 1)[: operand.dim()] if operand.dim() else ...] = bad
    y = fp8_scaled_mm(*operands, torch.float32).cpu()
    expected = reference.mm(a.exact(), b.exact(), operands[4])
    assert (~expected.isfinite()).any()
    assert torch.equal(y.isfinite(), expected.isfinite())


@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_zeros_give_exact_zeros(rows, granularity):
    weight, a = (
        Fp8Matrix.random(140, 150, granularity=granularity),
        Fp8Matrix.random(rows, 150, granularity=granularity),
    )
    no_codes, no_scale = (
        torch.zeros(140, 150, dtype=torch.uint8).view(torch.float8_e4m3fn),
        torch.zeros_like(weight.scale),
    )
    x, zeros = torch.randn(rows, 150), torch.zeros(rows, 140)
    for op in FP8_MM_OPERATORS:
        assert torch.equal(operator(op)(torch.zeros(rows, 150), *weight.args), zeros)
        assert torch.equal(operator(op)(x, weight.codes, no_scale), zeros)
        assert torch.equal(operator(op)(x, no_codes, weight.scale), zeros)
    for b in ((weight.codes, no_scale), (no_codes, weight.scale)):
        assert torch.equal(fp8_scaled_mm(a.codes, b[0], a.scale, b[1]), zeros.bfloat16())


def test_subnormals_are_kept():
    tiny = torch.finfo(torch.float32).smallest_normal / 64
    ones = torch.ones(4, 32).to(torch.float8_e4m3fn)
    for op in FP8_MM_OPERATORS:
        y = operator(op)(torch.full((2, 32), tiny), ones, torch.ones(4))
        torch.testing.assert_close(y, torch.full((2, 4), 32 * tiny), rtol=1e-2, atol=0)
    y = fp8_scaled_mm(ones[:2], ones, torch.tensor(tiny), torch.ones(4), out_dtype=torch.float32)
    torch.testing.assert_close(y, torch.full((2, 4), 32 * tiny), rtol=1e-3, atol=0)


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_rows_do_not_depend_on_each_other(op, rows, granularity):
    weight = Fp8Matrix.random(48, 160, granularity=granularity)
    x = torch.randn(rows, 160)
    disturbed = x.clone()
    disturbed[1:] = 1e4 * torch.randn(rows - 1, 160)
    assert torch.equal(operator(op)(x, *weight.args)[0], operator(op)(disturbed, *weight.args)[0])


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
def test_leading_dimensions_are_rows(op):
    weight = Fp8Matrix.random(24, 64)
    x = torch.randn(3, 5, 64)
    flat = operator(op)(x.reshape(15, 64), *weight.args)
    assert torch.equal(operator(op)(x, *weight.args), flat.reshape(3, 5, 24))


def test_more_than_two_to_the_31_weights(device):
    out_features, in_features = 65544, 32768
    needed, available = 4 << 30, available_memory(device)
    if available < needed:
        pytest.skip(f"needs {needed >> 30} GiB of free memory on {device}, which has {available / (1 << 30):.1f}")
    row = torch.randint(0, 126, (in_features,), dtype=torch.uint8)
    codes = (row ^ (torch.arange(out_features) % 2 << 7).to(torch.uint8)[:, None]).view(torch.float8_e4m3fn)
    scale = torch.arange(out_features) / out_features / 448
    last = slice(out_features - 4, None)
    exact = reference.fp8_dequantize(codes[last], scale[last])
    x = torch.randn(1, in_features)
    assert reference.relative_error(fp8_mm(x, codes, scale)[:, last], reference.mm(x, exact)) < 1e-5
