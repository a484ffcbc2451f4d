"""What PyTorch wants of a registered operator: opcheck, gradients for x and bias, graphs."""

import io

import pytest
import reference
import torch
import torch._dynamo.testing
from helpers import FLOAT_DTYPES, Nf4Weight, operator
from torch import nn
from torch.library import opcheck
from torch.nn import functional as F
from torchao_ops import nf4_dequantize, nf4_mm, nf4_mm_backward, nf4_quantize

pytestmark = pytest.mark.usefixtures("device")

ABSMAX_DTYPES = [torch.float16, torch.uint8]


@pytest.fixture(autouse=True)
def _dynamo_forgets():
    torch._dynamo.reset()


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("absmax_dtype", ABSMAX_DTYPES)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("batch", [(), (3,), (2, 5)])
def test_opcheck_mm(dtype, absmax_dtype, with_bias, batch):
    weight = Nf4Weight.random(9, 71, 32, absmax_dtype, nested_block_size=4)
    x = torch.randn(*batch, 71).to(dtype).requires_grad_()
    bias = torch.randn(9).requires_grad_() if with_bias else None
    opcheck(operator("nf4_mm"), (x, *weight.mm_args(bias)), atol=0.1, rtol=0.1)
    grad = torch.randn(*batch, 9).to(dtype).requires_grad_()
    opcheck(operator("nf4_mm_backward"), (grad, *weight.backward_args), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("absmax_dtype", ABSMAX_DTYPES)
@pytest.mark.parametrize("shape", [[9, 71], [639]])
def test_opcheck_dequantize(dtype, absmax_dtype, shape):
    weight = Nf4Weight.random(9, 71, 32, absmax_dtype, nested_block_size=4)
    opcheck(operator("nf4_dequantize").default, (weight.packed, weight.absmax, shape, 32, dtype, *weight.nested_args))
    out = torch.empty(shape, dtype=dtype)
    arguments = (weight.packed, weight.absmax, shape, 32, *weight.nested_args)
    opcheck(operator("nf4_dequantize").out, arguments, {"out": out})


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_opcheck_quantize(dtype):
    opcheck(operator("nf4_quantize"), (torch.randn(9, 71).to(dtype), 32))
    opcheck(operator("nf4_quantize_absmax"), (torch.rand(71).to(dtype), 32))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (0,), (40,)])
@pytest.mark.parametrize("absmax_dtype", ABSMAX_DTYPES)
@pytest.mark.parametrize("in_features", [71, 64])
def test_gradients_are_those_of_a_dense_layer(batch, dtype, absmax_dtype, in_features):
    weight = Nf4Weight.random(9, in_features, 64, absmax_dtype)
    dense = weight.exact()
    x = torch.randn(*batch, in_features).to(dtype).requires_grad_()
    bias = torch.randn(9).to(dtype).requires_grad_()
    grad_y = torch.randn(*batch, 9).to(dtype)
    got = torch.autograd.grad(nf4_mm(x, *weight.mm_args(bias)), (x, bias), grad_y)

    x64, bias64 = (tensor.detach().cpu().double().requires_grad_() for tensor in (x, bias))
    expected = torch.autograd.grad(F.linear(x64, dense, bias64), (x64, bias64), grad_y.cpu().double())
    for ours, theirs, operand in zip(got, expected, (x, bias), strict=True):
        assert ours.dtype == operand.dtype
        assert ours.shape == operand.shape
        assert reference.relative_error(ours, theirs) < 4 * torch.finfo(dtype).eps


def test_gradients_for_one_of_both_and_with_arguments_left_out():
    op, weight = operator("nf4_mm"), Nf4Weight.random(6, 40)
    x, bias = torch.randn(3, 40), torch.randn(6)
    x.requires_grad_()
    op(x, weight.packed, weight.absmax, 6).sum().backward()
    assert reference.relative_error(x.grad, torch.ones(3, 6, device="cpu").double() @ weight.exact()) < 1e-6
    assert bias.grad is None

    x = x.detach()
    bias.requires_grad_()
    op(x, weight.packed, weight.absmax, 6, bias=bias).sum().backward()
    assert torch.equal(bias.grad, torch.full((6,), 3.0))


def test_second_derivatives():
    """Through `nf4_mm` and through `nf4_mm_backward`, which are each other's gradient."""
    weight = Nf4Weight.random(6, 40, 32, torch.uint8)
    dense = weight.exact()
    x = torch.randn(3, 40, requires_grad=True)
    (grad_x,) = torch.autograd.grad(nf4_mm(x, *weight.mm_args()).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(grad_x.sum(), x)
    assert reference.relative_error(second, 2 * (torch.ones(3, 40, device="cpu").double() @ dense.T @ dense)) < 1e-5
    # The fourth power, thrice.
    x64 = x.detach().cpu().double().requires_grad_()
    grads = []
    for operand, y in ((x, nf4_mm(x, *weight.mm_args())), (x64, x64 @ dense.T)):
        value = y.pow(4).sum()
        for _ in range(3):
            (grad,) = torch.autograd.grad(value, operand, create_graph=True)
            value = grad.sum()
        grads.append(grad.detach())
    assert reference.relative_error(*grads) < 1e-5

    grad_y = torch.randn(3, 6, requires_grad=True)
    (got,) = torch.autograd.grad(nf4_mm_backward(grad_y, *weight.backward_args).pow(2).sum(), grad_y)
    expected = 2 * (grad_y.detach().cpu().double() @ dense) @ dense.T
    assert reference.relative_error(got, expected) < 1e-5


class Nf4Layers(nn.Module):
    """Two products, one of a doubly quantized weight, with a function between."""

    def __init__(self):
        super().__init__()
        self.weights = Nf4Weight.random(48, 70), Nf4Weight.random(33, 48, 32, torch.uint8)
        self.bias = nn.Parameter(torch.randn(48))

    def forward(self, x):
        first, second = self.weights
        return nf4_mm(nf4_mm(x, *first.mm_args(self.bias)).relu(), *second.mm_args())


def test_compile_with_a_dynamic_batch_compiles_once():
    model = Nf4Layers()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for rows in (2, 3, 17, 64):
        x = torch.randn(rows, 70)
        torch._dynamo.mark_dynamic(x, 0)
        expected, got = [], []
        for run, gradients in ((model, expected), (compiled, got)):
            operand = x.detach().requires_grad_()
            torch._dynamo.mark_dynamic(operand, 0)
            y = run(operand)
            gradients += [y, *torch.autograd.grad(y.square().sum(), (operand, model.bias))]
        assert expected[1].norm() > 0
        torch.testing.assert_close(got, expected)
    assert counter.frame_count == 1


def test_symbolic_sizes_stay_symbolic():
    """Every size of every operand dynamic: the fake kernels compute with them and specialize none."""

    def product(x, packed, absmax):
        return torch.ops.torchao.nf4_mm(x, packed, absmax, 24)

    def quantized(x, packed, absmax):
        return torch.ops.torchao.nf4_quantize(x, 32)

    for function in (product, quantized):
        counter = torch._dynamo.testing.CompileCounter()
        compiled = torch.compile(function, fullgraph=True, backend=counter, dynamic=True)
        for in_features, rows in ((70, 5), (130, 9), (35, 2)):
            weight, x = Nf4Weight.random(24, in_features), torch.randn(rows, in_features)
            operands = (x, weight.packed, weight.absmax)
            for got, expected in zip(compiled(*operands), function(*operands), strict=True):
                assert torch.equal(got, expected)
        assert counter.frame_count == 1


def test_compile_of_quantize_and_dequantize():
    def rounded(weight):
        packed, absmax = nf4_quantize(weight)
        out = torch.empty_like(weight)
        nf4_dequantize(packed, absmax, weight.shape, out=out)
        return out, nf4_dequantize(packed, absmax, weight.shape, dtype=torch.bfloat16)

    for backend in ("aot_eager", "inductor"):
        compiled = torch.compile(rounded, fullgraph=True, backend=backend, dynamic=True)
        for shape in ((8, 70), (5, 33)):
            weight = torch.randn(shape)
            for got, expected in zip(compiled(weight), rounded(weight), strict=True):
                assert torch.equal(got, expected)


def test_an_out_in_a_graph_is_checked_as_ever():
    weight = Nf4Weight.random(8, 70)

    def write(out):
        return torch.ops.torchao.nf4_dequantize(weight.packed, weight.absmax, [8, 70], out=out)

    with pytest.raises(RuntimeError, match=r"nf4_dequantize: out must be shape = \[8, 70\], but got \[3, 8, 70\]"):
        torch.func.functionalize(write)(torch.empty(3, 8, 70))


def test_export_with_a_dynamic_batch():
    model, x = Nf4Layers().eval(), torch.randn(5, 70)
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    targets = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert targets.count(torch.ops.torchao.nf4_mm.default) == 2
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    for program in (torch.export.load(file), exported.run_decompositions()):
        for rows in (1, 2, 64):
            x = torch.randn(rows, 70)
            assert torch.equal(program.module()(x), model(x))


def test_torchscript():
    weight = Nf4Weight.random(48, 70)

    def product(x: torch.Tensor, packed: torch.Tensor, absmax: torch.Tensor) -> torch.Tensor:
        y = torch.ops.torchao.nf4_mm(x, packed, absmax, 48)
        return y @ torch.ops.torchao.nf4_dequantize(packed, absmax, [48, 70])

    operands = torch.randn(5, 70), weight.packed, weight.absmax
    assert torch.equal(torch.jit.script(product)(*operands), product(*operands))


def test_fake_results_have_the_strides_of_real_ones():
    """Inductor generates code for the strides that the fake kernel promises."""
    weight = Nf4Weight.random(70, 70)
    for x in (torch.randn(5, 70), torch.randn(70, 5).t(), torch.randn(2, 5, 70).transpose(0, 1), torch.randn(5, 1, 70)):
        for op, args in ((nf4_mm, weight.mm_args()), (nf4_mm_backward, weight.backward_args)):
            fake_args = weight.to("meta").mm_args() if op is nf4_mm else weight.to("meta").backward_args
            real, fake = op(x, *args), op(x.to("meta"), *fake_args)
            assert fake.stride() == real.stride()
            assert fake.dtype == real.dtype
