"""nf4 operators against the reference: every dtype, ragged and empty sizes, NaN and Inf, the numerics contract.

test_library.py runs this file once more for every other instruction set of the machine.
"""

import itertools

import hypothesis
import pytest
import reference
import torch
from helpers import FLOAT_DTYPES, Nf4Weight, available_memory, run_python
from hypothesis import strategies as st
from torch.nn import functional as F
from torchao_ops import nf4_dequantize, nf4_mm, nf4_mm_backward, nf4_quantize, nf4_quantize_absmax

pytestmark = pytest.mark.usefixtures("device")

ABSMAX_DTYPES = [*FLOAT_DTYPES, torch.uint8]

# Relative Frobenius errors of a result that is computed in fp32 and rounded once: half a unit in the last place, and for
# fp32 the accumulation.
TOLERANCE = {torch.float32: 5e-7, torch.float16: 4e-4, torch.bfloat16: 3e-3}


def assert_same(got: tuple, expected: tuple) -> None:
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=0, equal_nan=True)


def test_quantize_example():
    # Two blocks: 32 elements and 3. The codes of 0, the largest and its negative are 7, 15 and 0.
    weight = torch.zeros(5, 7)
    weight[0, :5] = torch.tensor([2.0, -2.0, 1.0, 0.16, -0.18])
    weight[4, 4:] = torch.tensor([0.5, -0.25, 0.5])
    packed, absmax = nf4_quantize(weight, block_size=32)
    assert absmax.tolist() == [2, 0.5]
    # 0.5 is nearest to 0.4407, 0.08 to 0.0796, -0.09 to -0.0911; an odd count ends with the code of 0.
    assert packed.tolist() == [0xF0, 0xC8, 0x67, *[0x77] * 13, 0xF2, 0xF7]
    dequantized = nf4_dequantize(packed, absmax, [5, 7], block_size=32)
    assert dequantized[0, :3].tolist() == [2, -2, pytest.approx(0.88141966)]
    assert dequantized[4, 4:].tolist() == [0.5, pytest.approx(-0.26253653), 0.5]


SHAPES = [(5, 7), (3, 64), (16, 384), (33, 33), (1, 1), (4099,), (), (2, 3, 70)]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block_size", [32, 64, 128, 4096, 2**62])
def test_quantize_equals_the_reference(shape, block_size, dtype):
    weight = torch.randn(shape).to(dtype)
    weight.view(-1)[:3] = 0
    got = nf4_quantize(weight, block_size)
    assert_same(got, reference.nf4_quantize(weight, block_size))
    # And the nearest value it is: no code is off by more than half of the largest step.
    dequantized = nf4_dequantize(*got, shape, block_size)
    absmax = got[1].repeat_interleave(min(block_size, weight.numel()))[: weight.numel()].view(shape)
    assert ((dequantized - weight).abs() <= 0.1520 * absmax).all()


def test_quantize_midpoints_go_to_the_lower_code():
    values = reference.NF4_VALUES
    midpoints = (values[:-1] + values[1:]) / 2
    weight = torch.zeros(64)
    weight[0], weight[1:16] = 1, midpoints.to(weight.device)
    weight[16:31] = torch.nextafter(midpoints, torch.ones(15, device="cpu")).to(weight.device)
    codes = reference.unpack(nf4_quantize(weight)[0].view(1, -1), 64).view(-1, 2).flip(1).flatten()
    assert codes[1:31].tolist() == [*range(15), *range(1, 16)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("at, block", [(70, slice(64, 128)), (130, slice(128, 150))])
def test_quantizing_a_non_finite_weight_gives_nan(bad, at, block):
    weight = torch.randn(150)
    weight[at] = bad
    dequantized = nf4_dequantize(*nf4_quantize(weight), [150])
    is_nan = torch.zeros(150, dtype=torch.bool)
    is_nan[block] = True
    assert torch.equal(dequantized.isnan(), is_nan)
    assert_same(nf4_quantize(weight), reference.nf4_quantize(weight, 64))


@pytest.mark.parametrize("shape", [[1, 64], [3, 33], [5, 64]])
def test_zero_weights_dequantize_to_zero(shape):
    quantized = nf4_quantize(torch.zeros(shape))
    assert torch.equal(nf4_dequantize(*quantized, shape), torch.zeros(shape))
    assert torch.equal(nf4_mm(torch.randn(2, shape[1]), *quantized, shape[0]), torch.zeros(2, shape[0]))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("blocks", [1, 5, 256, 1500, 5000])
@pytest.mark.parametrize("nested_block_size", [1, 7, 256, 2**63 - 1])
def test_quantize_absmax_equals_the_reference(blocks, nested_block_size, dtype):
    absmax = (torch.rand(blocks) * 0.02 + 0.001).to(dtype)
    absmax[blocks // 2] = 0
    codes, absmax_code, nested_absmax, offset = nf4_quantize_absmax(absmax, nested_block_size)
    assert absmax_code.dtype == torch.float32
    assert offset.shape == ()
    assert_same((codes, nested_absmax, offset), reference.nf4_quantize_absmax(absmax, absmax_code, nested_block_size))
    if blocks > nested_block_size > 1:
        restored = reference.nf4_absmax(codes, absmax_code, nested_absmax, offset, nested_block_size)
        # Half of the largest step between two codes, of the largest difference from the mean.
        limit = 0.5 * absmax_code.diff().max() * nested_absmax.max() + 1e-6
        assert (restored - absmax.cpu().float()).abs().max() <= limit.cpu()


def test_the_numbers_of_absmax_codes():
    absmax_code = nf4_quantize_absmax(torch.rand(3))[1].cpu()
    assert (absmax_code.diff() > 0).all()
    assert torch.equal(absmax_code[:127], -absmax_code[128:255].flip(0))
    assert absmax_code[127] == 0 and absmax_code[255] == 1
    expected = [(0.1 + 0.9 * (i + 0.5) / 2**e) * 10.0 ** (e - 6) for e in range(7) for i in range(2**e)]
    torch.testing.assert_close(absmax_code[128:255], torch.tensor(sorted(expected), device="cpu"), rtol=3e-7, atol=0)


def test_quantizing_no_or_equal_absmax():
    codes, absmax_code, nested_absmax, offset = nf4_quantize_absmax(torch.empty(0))
    assert (codes.shape, absmax_code.shape, nested_absmax.shape) == ((0,), (256,), (0,))
    assert offset == 0
    codes, _, nested_absmax, offset = nf4_quantize_absmax(torch.full((300,), 0.25))
    assert offset == 0.25
    assert not codes.any() and not nested_absmax.any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_quantizing_a_non_finite_absmax_gives_nan(bad):
    absmax = torch.rand(300)
    absmax[7] = bad
    nested = nf4_quantize_absmax(absmax)
    packed = torch.randint(0, 256, (300 * 32,), dtype=torch.uint8)
    assert nf4_dequantize(packed, nested[0], [300 * 64], 64, None, *nested[1:]).isnan().all()


@pytest.mark.parametrize("dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("absmax_dtype", ABSMAX_DTYPES)
@pytest.mark.parametrize("block_size", [32, 64, 2**62])
@pytest.mark.parametrize("in_features", [1, 33, 67, 256])
def test_dequantize_equals_the_reference(dtype, absmax_dtype, block_size, in_features):
    weight = Nf4Weight.random(9, in_features, block_size, absmax_dtype, nested_block_size=3)
    got = nf4_dequantize(*weight.dequantize_args(dtype))
    absmax = reference.nf4_absmax(weight.absmax, *weight.nested_args)
    exact = reference.nf4_dequantize(weight.packed, absmax, (9, in_features), block_size, arithmetic=torch.float32)
    expected = exact.to(dtype or (torch.float32 if absmax_dtype == torch.uint8 else absmax_dtype))
    assert_same((got,), (expected,))

    out = torch.full((9, in_features), 7, dtype=expected.dtype)
    packed, absmax, shape, _, _, *nested = weight.dequantize_args()
    assert nf4_dequantize(packed, absmax, shape, block_size, dtype, *nested, out=out) is out
    assert_same((out,), (expected,))


@pytest.mark.parametrize("shape", [[1200], [3, 400], [2, 3, 4, 50], [1200, 1], [1, 1200]])
def test_any_shape_is_the_same_elements(shape):
    weight = Nf4Weight.random(3, 400)
    expected = nf4_dequantize(*weight.dequantize_args())
    assert torch.equal(nf4_dequantize(weight.packed, weight.absmax, shape), expected.view(shape))
    assert torch.equal(nf4_dequantize(weight.packed[:, None], weight.absmax, shape), expected.view(shape))


@pytest.mark.parametrize("shape", [[0], [0, 8], [4, 0], [2, 0, 3]])
def test_an_empty_weight(shape):
    packed, absmax = nf4_quantize(torch.empty(shape))
    assert packed.shape == absmax.shape == (0,)
    assert nf4_dequantize(packed, absmax, shape).shape == torch.Size(shape)
    assert nf4_dequantize(packed, absmax, shape, out=torch.empty(shape)).shape == torch.Size(shape)


@pytest.mark.parametrize("x_dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("in_features", [70, 128])
def test_mm_takes_every_combination_of_dtypes(x_dtype, in_features):
    x, grad = torch.randn(5, in_features).to(x_dtype), torch.randn(5, 11).to(x_dtype)
    for absmax_dtype, bias_dtype in itertools.product(ABSMAX_DTYPES, (None, *FLOAT_DTYPES)):
        weight = Nf4Weight.random(11, in_features, 64, absmax_dtype)
        bias = None if bias_dtype is None else torch.randn(11).to(bias_dtype)
        y = nf4_mm(x, *weight.mm_args(bias))
        assert y.dtype == x_dtype
        expected = reference.mm(x, weight.exact(), bias)
        assert reference.relative_error(y, expected) < TOLERANCE[x_dtype], (absmax_dtype, bias_dtype)
        grad_x = nf4_mm_backward(grad, *weight.backward_args)
        assert grad_x.dtype == x_dtype
        assert reference.relative_error(grad_x, reference.mm(grad, weight.exact().T)) < TOLERANCE[x_dtype]


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
    block_size=st.sampled_from([32, 64, 128, 4096, 2**62]),
    nested_block_size=st.one_of(st.integers(1, 300), st.just(2**63 - 1)),
    x_dtype=st.sampled_from(FLOAT_DTYPES),
    absmax_dtype=st.sampled_from(ABSMAX_DTYPES),
    with_bias=st.booleans(),
)
def test_mm_takes_any_shape(
    batch, out_features, in_features, block_size, nested_block_size, x_dtype, absmax_dtype, with_bias
):
    weight = Nf4Weight.random(out_features, in_features, block_size, absmax_dtype, nested_block_size)
    x = torch.randn(*batch, in_features).to(x_dtype)
    bias = torch.randn(out_features).to(x_dtype) if with_bias else None
    grad = torch.randn(*batch, out_features).to(x_dtype)
    exact = weight.exact()
    for y, operand, matrix, add in (
        (nf4_mm(x, *weight.mm_args(bias)), x, exact, bias),
        (nf4_mm_backward(grad, *weight.backward_args), grad, exact.T, None),
    ):
        assert y.shape == (*batch, matrix.shape[0])
        assert y.dtype == x_dtype
        expected = reference.mm(operand, matrix, add)
        # Not relative to the norm of the result, which may be small by cancellation.
        bound = (operand.cpu().double().abs() @ matrix.abs().T).norm() + expected.norm()
        assert (y.cpu().double() - expected).norm() <= TOLERANCE[x_dtype] * bound


@pytest.mark.parametrize("absmax_dtype", [torch.float32, torch.uint8])
def test_no_columns_give_the_bias_or_zeros(absmax_dtype):
    weight = Nf4Weight.random(6, 0, absmax_dtype=absmax_dtype)
    x, bias = torch.randn(3, 0), torch.randn(6)
    assert torch.equal(nf4_mm(x, *weight.mm_args()), torch.zeros(3, 6))
    assert torch.equal(nf4_mm(x, *weight.mm_args(bias)), bias.expand(3, 6))
    no_rows = Nf4Weight.random(0, 6, absmax_dtype=absmax_dtype)
    assert torch.equal(nf4_mm_backward(torch.randn(3, 0), *no_rows.backward_args), torch.zeros(3, 6))


# Few rows and many, K that blocks divide and K that they do not.
CONTRACT_SHAPES = [
    (1, 256, 1024),
    (4, 512, 768),
    (16, 257, 1031),
    (64, 384, 384),
    (1, 1024, 4096),
    (128, 256, 2048),
]


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("absmax_dtype", [torch.float32, torch.uint8])
@pytest.mark.parametrize("rows, out_features, in_features", CONTRACT_SHAPES)
def test_mm_is_at_least_as_exact_as_a_dense_product(rows, out_features, in_features, absmax_dtype, dtype, device):
    weight = Nf4Weight.random(out_features, in_features, 64, absmax_dtype)
    exact = weight.exact()
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    grad = torch.randn(rows, out_features).to(dtype)
    dense = exact.to(x)
    for ours, theirs, expected in (
        (nf4_mm(x, *weight.mm_args(bias)), F.linear(x, dense, bias), reference.mm(x, exact, bias)),
        (nf4_mm_backward(grad, *weight.backward_args), grad @ dense, reference.mm(grad, exact.T)),
    ):
        # fp32 sums of another order are equal but for the noise of a few roundings; on CUDA, many rows are a dense product with the weight
        # that is rounded for `dense` as well.
        limit = reference.relative_error(theirs, expected)
        if dtype == torch.float32 or device == "cuda":
            limit = max(1.01 * limit, TOLERANCE[torch.float32])
        assert reference.relative_error(ours, expected) <= limit


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("in_features", [96, 128])
@pytest.mark.parametrize("where", ["x", "absmax", "bias"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_values_reach_the_results_that_they_reach_in_a_dense_product(dtype, rows, in_features, where, bad):
    weight = Nf4Weight.random(40, in_features)
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(40).to(dtype)
    operand = {"x": x, "absmax": weight.absmax, "bias": bias}[where]
    operand[(operand.shape[0] // 2, 1)[: operand.dim()]] = bad
    y = nf4_mm(x, *weight.mm_args(bias)).cpu()
    # In float64 the dense product of finite operands here cannot overflow, so the masks are those of the inputs.
    expected = reference.mm(x, weight.exact(), bias)
    assert (~expected.isfinite()).any()
    assert torch.equal(y.isnan(), expected.isnan())
    assert torch.equal(y[y.isinf()].double(), expected[expected.isinf()])

    if where != "bias":
        grad = torch.randn(rows, 40).to(dtype)
        if where == "x":
            grad[rows // 2, 1] = bad
        got, expected = nf4_mm_backward(grad, *weight.backward_args).cpu(), reference.mm(grad, weight.exact().T)
        assert (~expected.isfinite()).any()
        assert torch.equal(got.isnan(), expected.isnan())
        assert torch.equal(got[got.isinf()].double(), expected[expected.isinf()])


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("in_features", [100, 128])
def test_zeros_give_exact_zeros(rows, in_features):
    weight = Nf4Weight.random(33, in_features)
    zero_codes = torch.full_like(weight.packed, 0x77)
    for op, columns, results, args in (
        (nf4_mm, in_features, 33, weight.mm_args()),
        (nf4_mm_backward, 33, in_features, weight.backward_args),
    ):
        x, zeros = torch.randn(rows, columns), torch.zeros(rows, results)
        packed, absmax, *rest = args
        assert torch.equal(op(torch.zeros_like(x), *args), zeros)
        assert torch.equal(op(x, packed, torch.zeros_like(absmax), *rest), zeros)
        assert torch.equal(op(x, zero_codes, absmax, *rest), zeros)


def test_subnormals_are_kept():
    tiny = torch.finfo(torch.float32).smallest_normal / 64
    packed, absmax = nf4_quantize(torch.ones(4, 32))
    x = torch.full((2, 32), tiny)
    torch.testing.assert_close(nf4_mm(x, packed, absmax, 4), torch.full((2, 4), 32 * tiny), rtol=1e-3, atol=0)
    grad = nf4_mm_backward(torch.full((2, 4), tiny), packed, absmax, 32)
    torch.testing.assert_close(grad, torch.full((2, 32), 4 * tiny), rtol=1e-3, atol=0)


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("in_features", [100, 128])
def test_rows_do_not_depend_on_each_other(rows, in_features):
    weight = Nf4Weight.random(48, in_features)
    for op, columns, args in ((nf4_mm, in_features, weight.mm_args()), (nf4_mm_backward, 48, weight.backward_args)):
        x = torch.randn(rows, columns)
        disturbed = x.clone()
        disturbed[1:] = 1e4 * torch.randn(rows - 1, columns)
        assert torch.equal(op(x, *args)[0], op(disturbed, *args)[0])


def test_leading_dimensions_are_rows():
    weight = Nf4Weight.random(24, 64)
    x, grad = torch.randn(3, 5, 64), torch.randn(3, 5, 24)
    assert torch.equal(nf4_mm(x, *weight.mm_args()), nf4_mm(x.view(15, 64), *weight.mm_args()).view(3, 5, 24))
    flat = nf4_mm_backward(grad.view(15, 24), *weight.backward_args)
    assert torch.equal(nf4_mm_backward(grad, *weight.backward_args), flat.view(3, 5, 64))


@pytest.mark.parametrize("rows, dtype", [(4, "float32"), (64, "bfloat16")])
def test_forward_and_backward_make_no_whole_weight(rows, dtype, device):
    """In a process whose address space ends before a dense weight would fit in."""
    if device != "cpu":
        pytest.skip("limits the memory of the host")
    result = run_python(
        f"""
import resource, torch, torchao_ops
torch.set_num_threads(1)
dtype, size = torch.{dtype}, 4096

def step(size):
    packed = torch.randint(0, 256, (size * size // 2,), dtype=torch.uint8)
    absmax = torch.rand(size * size // 64)
    x = torch.randn({rows}, size).to(dtype).requires_grad_()
    yield packed, absmax
    torchao_ops.nf4_mm(x, packed, absmax, size).sum().backward()
    yield x.grad

*_, small = step(256)  # what the first call allocates for good
large = step(size)
packed, absmax = next(large)
used = 4096 * int(open("/proc/self/statm").read().split()[0])
dense = size * size * dtype.itemsize
resource.setrlimit(resource.RLIMIT_AS, (used + dense // 2, used + dense // 2))
try:
    torchao_ops.nf4_dequantize(packed, absmax, [size, size], dtype=dtype)
except RuntimeError:
    print("a dense weight does not fit")
print(next(large).isfinite().all().item())
"""
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["a dense weight does not fit", "True"]


@pytest.mark.parametrize("op", ["nf4_mm", "nf4_mm_backward", "nf4_dequantize"])
def test_more_than_two_to_the_31_weights(op, device):
    out_features, in_features = 65544, 32768
    needed, available = 8 << 30, available_memory(device)
    if available < needed:
        pytest.skip(f"needs {needed >> 30} GiB of free memory on {device}, which has {available / (1 << 30):.1f}")
    row = torch.randint(0, 256, (in_features // 2,), dtype=torch.uint8)
    packed = (row ^ torch.arange(out_features).to(torch.uint8)[:, None]).flatten()
    absmax = torch.full((out_features * in_features // 64,), 0.001)
    last = slice(out_features - 4, None)
    tail_bytes, tail_blocks = packed[-4 * in_features // 2 :], absmax[-4 * in_features // 64 :]
    exact = reference.nf4_dequantize(tail_bytes, tail_blocks.cpu(), (4, in_features), 64)
    if op == "nf4_dequantize":
        dequantized = nf4_dequantize(packed, absmax, [out_features, in_features], dtype=torch.bfloat16)
        assert torch.equal(dequantized[last].cpu(), exact.float().bfloat16())
    elif op == "nf4_mm":
        x = torch.randn(1, in_features)
        y = nf4_mm(x, packed, absmax, out_features)
        assert reference.relative_error(y[:, last], reference.mm(x, exact)) < 1e-5
    else:
        grad = torch.zeros(1, out_features)
        grad[:, last] = torch.randn(4)
        got = nf4_mm_backward(grad, packed, absmax, in_features)
        assert reference.relative_error(got, reference.mm(grad[:, last], exact.T)) < 1e-5
