"""What PyTorch wants of a registered operator: opcheck, gradients for x and bias, capture as a graph (on a CPU; test_graphs.py has both devices)."""

import itertools

import pytest
import reference
import torch
import torch._dynamo.testing
from helpers import FLOAT8_DTYPES, FLOAT_DTYPES, FP8_MM_OPERATORS, GRANULARITIES, Fp8Matrix, operator
from registration import (
    captures,
    expect_gradients_of_a_dense_layer,
    expect_one_compilation_for_any_batch,
    expect_one_compilation_for_any_sizes,
    expect_second_derivatives,
    expect_the_same_exported,
    expect_the_same_in_torchscript,
    opcheck,
)
from torch import Tensor, nn


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
@pytest.mark.parametrize("dtype, batch", [(torch.float32, ()), (torch.float16, (3,)), (torch.bfloat16, (2, 5))])
def test_opcheck_mm(op, granularity, code_dtype, dtype, batch):
    weight = Fp8Matrix.random(9, 151, code_dtype, granularity, torch.float16)
    x = torch.randn(*batch, 151).to(dtype).requires_grad_()
    bias = torch.randn(9).requires_grad_() if batch else None
    opcheck(op, (x, *weight.args, bias), atol=0.1, rtol=0.1)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("code_dtype", FLOAT8_DTYPES)
def test_opcheck_the_others(granularity, code_dtype):
    a, b = Fp8Matrix.random(5, 151, granularity=granularity), Fp8Matrix.random(9, 151, code_dtype, granularity)
    for dtype in (None, torch.float16):
        opcheck("fp8_dequantize", (*b.args, dtype))
        opcheck("fp8_scaled_mm", (a.codes, b.codes, a.scale, b.scale, torch.randn(9), dtype))
    opcheck("fp8_scaled_mm", (a.codes, b.codes, a.scale, b.scale))
    # Its results, float8, are what torch cannot compare.
    arguments = (torch.randn(9, 151), code_dtype, granularity)
    torch.library.opcheck(
        operator("fp8_quantize"), arguments, test_utils=("test_autograd_registration", "test_faketensor")
    )


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (0,)])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_gradients_are_those_of_a_dense_layer(op, dtype, batch, granularity):
    for code_dtype in FLOAT8_DTYPES:
        weight = Fp8Matrix.random(139, 151, code_dtype, granularity)
        expect_gradients_of_a_dense_layer(op, weight.args, weight.exact(), batch, dtype)


@pytest.mark.parametrize("op", FP8_MM_OPERATORS)
def test_gradients_for_one_of_both_and_with_arguments_left_out(op):
    weight = Fp8Matrix.random(6, 40)
    x, bias = torch.randn(3, 40), torch.randn(6)
    x.requires_grad_()
    operator(op)(x, *weight.args).sum().backward()
    assert x.grad is not None and bias.grad is None

    x = x.detach()
    bias.requires_grad_()
    operator(op)(x, *weight.args, bias=bias).sum().backward()
    assert torch.equal(bias.grad, torch.full((6,), 3.0))


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("out_dtype", [None, torch.float32])
def test_gradient_for_the_bias_of_a_scaled_product(dtype, out_dtype):
    a, b = Fp8Matrix.random(5, 70), Fp8Matrix.random(9, 70)
    bias = torch.randn(9).to(dtype).requires_grad_()
    y = operator("fp8_scaled_mm")(a.codes, b.codes, a.scale, b.scale, bias, out_dtype)
    grad_y = torch.randn(5, 9).to(y.dtype)
    (grad_bias,) = torch.autograd.grad(y, bias, grad_y)
    assert grad_bias.dtype == dtype
    assert reference.relative_error(grad_bias, grad_y.double().sum(0)) < 4 * torch.finfo(dtype).eps
    opcheck("fp8_scaled_mm", (a.codes, b.codes, a.scale, b.scale, bias, out_dtype), atol=0.1, rtol=0.1)
    assert not operator("fp8_scaled_mm")(a.codes, b.codes, a.scale, b.scale, bias.detach()).requires_grad


def test_second_derivatives():
    weight = Fp8Matrix.random(6, 40)
    expect_second_derivatives("fp8_mm", weight.args, weight.exact())


def test_fake_results_have_the_strides_of_real_ones():
    """Inductor generates code for the strides that the fake kernel promises."""
    weight = Fp8Matrix.random(48, 70)
    for op, x in itertools.product(
        FP8_MM_OPERATORS, (torch.randn(70, 5).t(), torch.randn(2, 5, 70).transpose(0, 1), torch.randn(5, 1, 70))
    ):
        real, fake = operator(op)(x, *weight.args), operator(op)(x.to("meta"), *weight.to("meta").args)
        assert (fake.stride(), fake.dtype) == (real.stride(), real.dtype)
    transposed = torch.randn(70, 48).t()
    for strided in (transposed, transposed.to("meta")):
        for granularity in GRANULARITIES:
            codes, scale = operator("fp8_quantize")(strided, None, granularity)
            results = codes, scale, operator("fp8_dequantize")(codes, scale)
            assert all(tensor.is_contiguous() for tensor in results)
        codes = Fp8Matrix.random(70, 48).codes.t().to(strided.device)
        one = torch.tensor(1.0, device=strided.device)
        assert operator("fp8_dequantize")(codes, one).is_contiguous()
        assert operator("fp8_scaled_mm")(codes, codes, one, one).is_contiguous()


class Fp8Product(nn.Module):
    """What a layer does with a product."""

    def __init__(self, op: str, dtype: torch.dtype, granularity: str) -> None:
        super().__init__()
        weight = Fp8Matrix.random(33, 70, dtype, granularity)
        self.register_buffer("codes", weight.codes)
        self.register_buffer("scale", weight.scale)
        self.bias = nn.Parameter(torch.randn(33))
        self.dynamic = op == "fp8_dynamic_mm"
        self.in_features = 70

    def forward(self, x: Tensor) -> Tensor:
        if self.dynamic:
            return torch.ops.torchao.fp8_dynamic_mm(x, self.codes, self.scale, self.bias)
        return torch.ops.torchao.fp8_mm(x, self.codes, self.scale, self.bias)


class RoundedProduct(nn.Module):
    """A product of two matrices of 8 bits, of which one is rounded on the fly."""

    def __init__(self, dtype: torch.dtype, granularity: str) -> None:
        super().__init__()
        weight = Fp8Matrix.random(33, 70, dtype, granularity)
        self.register_buffer("codes", weight.codes)
        self.register_buffer("scale", weight.scale)
        self.bias = nn.Parameter(torch.randn(33), requires_grad=False)
        self.granularity = granularity
        self.in_features = 70

    def forward(self, x: Tensor) -> Tensor:
        codes, scale = torch.ops.torchao.fp8_quantize(x, granularity=self.granularity)
        return torch.ops.torchao.fp8_scaled_mm(codes, self.codes, scale, self.scale, self.bias)


LAYERS = [
    *(
        (f"{op}-{granularity}", lambda op=op, granularity=granularity: Fp8Product(op, torch.float8_e4m3fn, granularity))
        for op, granularity in itertools.product(FP8_MM_OPERATORS, GRANULARITIES)
    ),
    *(
        (f"fp8_scaled_mm-{granularity}", lambda granularity=granularity: RoundedProduct(torch.float8_e5m2, granularity))
        # Without "block": for up to 128 rows its scale has one row, and torch compiles for that once more.
        for granularity in ("tensor", "row", "group")
    ),
]


@pytest.fixture(params=[make for _, make in LAYERS], ids=[name for name, _ in LAYERS])
def layer(request):
    return request.param().eval()


def test_compile_with_a_dynamic_batch_compiles_once(layer):
    expect_one_compilation_for_any_batch(layer)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_symbolic_sizes_stay_symbolic(granularity):
    def products(x, codes, scale):
        a = torch.ops.torchao.fp8_quantize(x, granularity="row")
        scaled = torch.ops.torchao.fp8_scaled_mm(a[0], codes, a[1], scale, None, torch.float32)
        return torch.ops.torchao.fp8_mm(x, codes, scale), torch.ops.torchao.fp8_dequantize(codes, scale), scaled

    # The first sizes all differ, those of the scales too: equal ones would be taken for the same.
    operands = [
        (torch.randn(rows, k), *Fp8Matrix.random(n, k, granularity=granularity).args)
        for n, k, rows in ((300, 530, 7), (400, 270, 9), (513, 335, 4))
    ]
    expect_one_compilation_for_any_sizes(products, operands)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_compile_of_quantize_and_dequantize(granularity):
    torch._dynamo.reset()

    def rounded(x):
        return torch.ops.torchao.fp8_dequantize(*torch.ops.torchao.fp8_quantize(x, torch.float8_e5m2, granularity))

    compiled = torch.compile(rounded, fullgraph=True, backend="aot_eager", dynamic=True)
    for shape in ((8, 70), (140, 333)):
        x = torch.randn(shape)
        assert torch.equal(compiled(x), rounded(x))


def test_export_with_a_dynamic_batch(layer):
    expect_the_same_exported(layer)


@captures
def test_torchscript(layer, capture):
    expect_the_same_in_torchscript(layer, capture)
