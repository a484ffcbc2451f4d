"""What PyTorch wants of a registered operator: opcheck, gradients for x and bias, capture as a graph."""

import io

import pytest
import reference
import torch
import torch._dynamo.testing
from helpers import (
    DTYPES_OF_8_BITS,
    FLOAT_DTYPES,
    SPARSE24_DTYPES,
    SPARSE24_MM_OPERATORS,
    Sparse24Weight,
    operator,
)
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

pytestmark = pytest.mark.usefixtures("device")

# The products, each with the dtypes of values that it takes.
PRODUCTS = [
    *(("sparse24_mm", dtype) for dtype in SPARSE24_DTYPES),
    *(("sparse24_dynamic_mm", dtype) for dtype in DTYPES_OF_8_BITS),
]


def opcheck(op: str, arguments: tuple, **tolerances: float) -> None:
    """torch's own comparison of tensors does not take float8: without the test of what a schema says of mutations."""
    tests = ["test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic"]
    if all(argument.dtype != torch.float8_e4m3fn for argument in arguments if isinstance(argument, Tensor)):
        tests.append("test_schema")
    torch.library.opcheck(operator(op), arguments, test_utils=tests, **tolerances)


@pytest.mark.parametrize("op, values_dtype", PRODUCTS)
@pytest.mark.parametrize("dtype, batch", [(torch.float32, ()), (torch.float16, (3,)), (torch.bfloat16, (2, 5))])
@pytest.mark.parametrize("with_bias", [False, True])
def test_opcheck_mm(op, values_dtype, dtype, batch, with_bias):
    weight = Sparse24Weight.random(9, 71, values_dtype, torch.float16)
    x = torch.randn(*batch, 71).to(dtype).requires_grad_()
    bias = torch.randn(9).requires_grad_() if with_bias else None
    opcheck(op, (x, *weight.mm_args, bias), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
def test_opcheck_prune_compress_and_decompress(dtype):
    weight = (20 * torch.randn(9, 71)).to(dtype)
    mask = torch.ops.torchao.sparse24_prune(weight)
    values, bitmask = torch.ops.torchao.sparse24_compress(weight, mask)
    pruned = torch.ops.torchao.sparse24_decompress(values, bitmask, 71)
    opcheck("sparse24_prune", (weight,))
    opcheck("sparse24_compress", (weight, mask))
    opcheck("sparse24_compress", (pruned,))
    opcheck("sparse24_decompress", (values, bitmask, 71))


@pytest.mark.parametrize("op, values_dtype", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (0,)])
@pytest.mark.parametrize("with_scale", [False, True])
def test_gradients_are_those_of_a_dense_layer(op, values_dtype, batch, dtype, with_scale):
    scale_dtype = torch.float32 if with_scale or values_dtype in DTYPES_OF_8_BITS else None
    weight = Sparse24Weight.random(9, 71, values_dtype, scale_dtype)
    dense = weight.exact()
    x = torch.randn(*batch, 71).to(dtype).requires_grad_()
    bias = torch.randn(9).to(dtype).requires_grad_()
    grad_y = torch.randn(*batch, 9).to(dtype)
    got = torch.autograd.grad(operator(op)(x, *weight.mm_args, bias), (x, bias), grad_y)

    x64, bias64 = (tensor.detach().cpu().double().requires_grad_() for tensor in (x, bias))
    expected = torch.autograd.grad(F.linear(x64, dense, bias64), (x64, bias64), grad_y.cpu().double())
    for ours, theirs, operand in zip(got, expected, (x, bias), strict=True):
        assert ours.dtype == operand.dtype
        assert ours.shape == operand.shape
        assert reference.relative_error(ours, theirs) < 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("op", SPARSE24_MM_OPERATORS)
def test_gradients_for_one_of_both(op):
    weight = Sparse24Weight.random(6, 40, torch.int8)
    x, bias = torch.randn(3, 40), torch.randn(6)
    x.requires_grad_()
    operator(op)(x, *weight.mm_args).sum().backward()
    assert x.grad is not None and bias.grad is None

    x = x.detach()
    bias.requires_grad_()
    operator(op)(x, *weight.mm_args, bias=bias).sum().backward()
    assert torch.equal(bias.grad, torch.full((6,), 3.0))


def test_gradients_with_arguments_left_out():
    weight = Sparse24Weight.random(6, 40, scale_dtype=None)
    x = torch.randn(3, 40, requires_grad=True)
    operator("sparse24_mm")(x, weight.values, weight.bitmask).sum().backward()
    expected = weight.exact().sum(0).expand(3, 40)
    assert reference.relative_error(x.grad, expected) < 1e-6
    bias = torch.zeros(6, requires_grad=True)
    operator("sparse24_mm")(x.detach(), weight.values, weight.bitmask, bias=bias).sum().backward()
    assert torch.equal(bias.grad, torch.full((6,), 3.0))


def test_second_derivatives():
    weight = Sparse24Weight.random(6, 40, torch.int8)
    x = torch.randn(3, 40, requires_grad=True)
    (grad_x,) = torch.autograd.grad(operator("sparse24_mm")(x, *weight.mm_args).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(grad_x.sum(), x)
    dense = weight.exact()
    assert reference.relative_error(second, 2 * (torch.ones(3, 40, device="cpu").double() @ dense.T @ dense)) < 1e-5


@pytest.mark.parametrize("op, dtype", PRODUCTS)
def test_fake_results_have_the_strides_of_real_ones(op, dtype):
    """Inductor generates code for the strides that the fake kernel promises."""
    weight = Sparse24Weight.random(48, 70, dtype)
    for x in (torch.randn(70, 5).t(), torch.randn(2, 5, 70).transpose(0, 1), torch.randn(5, 1, 70)):
        real = operator(op)(x, *weight.mm_args)
        fake = operator(op)(x.to("meta"), *weight.to("meta").mm_args)
        assert (fake.stride(), fake.dtype) == (real.stride(), real.dtype)
    transposed = torch.randn(70, 48).t()
    for strided in (transposed, transposed.to("meta")):
        mask = torch.ops.torchao.sparse24_prune(strided)
        compressed = torch.ops.torchao.sparse24_compress(strided, mask)
        decompressed = torch.ops.torchao.sparse24_decompress(*compressed, 70)
        assert all(tensor.is_contiguous() for tensor in (mask, *compressed, decompressed))


class SparseLinear(nn.Module):
    """What a layer does with a product."""

    def __init__(self, dtype: torch.dtype, dynamic: bool) -> None:
        super().__init__()
        weight = Sparse24Weight.random(33, 70, dtype)
        self.register_buffer("values", weight.values)
        self.register_buffer("bitmask", weight.bitmask)
        self.register_buffer("scale", weight.scale)
        self.bias = nn.Parameter(torch.randn(33))
        self.dynamic = dynamic

    def forward(self, x: Tensor) -> Tensor:
        if self.dynamic:
            return torch.ops.torchao.sparse24_dynamic_mm(x, self.values, self.bitmask, self.scale, self.bias)
        return torch.ops.torchao.sparse24_mm(x, self.values, self.bitmask, self.scale, self.bias)


@pytest.fixture(params=PRODUCTS, ids=lambda product: f"{product[0]}-{product[1]}")
def layer(request, device):
    torch._dynamo.reset()
    op, dtype = request.param
    return SparseLinear(dtype, op == "sparse24_dynamic_mm").eval()


def test_compile_with_a_dynamic_batch_compiles_once(layer):
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, fullgraph=True, backend=counter)
    for batch in (2, 3, 17, 64):
        results = []
        for run in (layer, compiled):
            layer.bias.grad = None
            x = torch.randn(batch, 70, generator=torch.Generator(device=layer.bias.device).manual_seed(0))
            torch._dynamo.mark_dynamic(x, 0)
            x.requires_grad_()
            y = run(x)
            y.square().sum().backward()
            results.append((y.detach(), x.grad, layer.bias.grad))
        torch.testing.assert_close(*results)
    assert counter.frame_count == 1


def compressed(weight: Tensor) -> tuple[Tensor, ...]:
    return torch.ops.torchao.sparse24_compress(weight, torch.ops.torchao.sparse24_prune(weight))


@pytest.mark.parametrize("function", [torch.ops.torchao.sparse24_mm, compressed])
def test_symbolic_sizes_stay_symbolic(function):
    """Every size of every operand dynamic: the fake kernels compute with them and specialize none."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(function, fullgraph=True, backend=counter, dynamic=True)
    for out_features, in_features, rows in ((24, 70, 5), (40, 130, 9), (13, 35, 2)):
        operands = (torch.randn(out_features, in_features),)
        if function is not compressed:
            operands = (torch.randn(rows, in_features), *Sparse24Weight.random(out_features, in_features).mm_args)
        for got, expected in zip(compiled(*operands), function(*operands), strict=True):
            assert torch.equal(got, expected)
    assert counter.frame_count == 1


def test_compile_of_compress_and_decompress():
    """in_features, an int of a schema, is a constant of the graph."""
    torch._dynamo.reset()

    def pruned(weight):
        return torch.ops.torchao.sparse24_decompress(*compressed(weight), weight.shape[1])

    compiled = torch.compile(pruned, fullgraph=True, backend="aot_eager", dynamic=True)
    for shape in ((8, 70), (5, 33)):
        weight = torch.randn(shape)
        assert torch.equal(compiled(weight), pruned(weight))


def test_export_with_a_dynamic_batch(layer):
    batch = torch.export.Dim("batch")
    exported = torch.export.export(layer, (torch.randn(5, 70),), dynamic_shapes=({0: batch},))
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for rows in (1, 2, 64):
        x = torch.randn(rows, 70)
        assert torch.equal(loaded(x), layer(x))


@pytest.mark.parametrize("capture", [torch.jit.script, lambda layer: torch.jit.trace(layer, torch.randn(2, 70))])
def test_torchscript(layer, capture):
    captured = capture(layer)
    file = io.BytesIO()
    torch.jit.save(captured, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    x = torch.randn(5, 70)
    assert torch.equal(captured(x), layer(x))
    assert torch.equal(loaded(x), layer(x))
    assert torch.equal(torch.jit.freeze(loaded.eval())(x), layer(x))


def test_a_fake_weight_is_compressed_without_a_look():
    """What a fake kernel cannot see, that the weight is no 2:4 weight, it does not refuse."""
    with FakeTensorMode():
        values, bitmask = torch.ops.torchao.sparse24_compress(torch.ones(8, 70))
    assert (values.shape, bitmask.shape) == ((8, 36), (8, 9))
