"""What PyTorch wants of a registered operator: opcheck, gradients for x and bias, capture as a graph."""

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
from torch._subclasses.fake_tensor import FakeTensorMode

pytestmark = pytest.mark.usefixtures("device")

# The products, each with the dtypes of values that it takes.
PRODUCTS = [
    *(("sparse24_mm", dtype) for dtype in SPARSE24_DTYPES),
    *(("sparse24_dynamic_mm", dtype) for dtype in DTYPES_OF_8_BITS),
]


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
    expect_gradients_of_a_dense_layer(op, weight.mm_args, weight.exact(), batch, dtype)


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
    expect_second_derivatives("sparse24_mm", weight.mm_args, weight.exact())


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
        self.in_features = 70

    def forward(self, x: Tensor) -> Tensor:
        if self.dynamic:
            return torch.ops.torchao.sparse24_dynamic_mm(x, self.values, self.bitmask, self.scale, self.bias)
        return torch.ops.torchao.sparse24_mm(x, self.values, self.bitmask, self.scale, self.bias)


@pytest.fixture(params=PRODUCTS, ids=lambda product: f"{product[0]}-{product[1]}")
def layer(request, device):
    op, dtype = request.param
    return SparseLinear(dtype, op == "sparse24_dynamic_mm").eval()


def test_compile_with_a_dynamic_batch_compiles_once(layer):
    expect_one_compilation_for_any_batch(layer)


def compressed(weight: Tensor) -> tuple[Tensor, ...]:
    return torch.ops.torchao.sparse24_compress(weight, torch.ops.torchao.sparse24_prune(weight))


@pytest.mark.parametrize("function", [torch.ops.torchao.sparse24_mm, compressed])
def test_symbolic_sizes_stay_symbolic(function):
    sizes = ((24, 70, 5), (40, 130, 9), (13, 35, 2))
    if function is compressed:
        operands = [(torch.randn(out_features, in_features),) for out_features, in_features, _ in sizes]
    else:
        operands = [(torch.randn(rows, k), *Sparse24Weight.random(n, k).mm_args) for n, k, rows in sizes]
    expect_one_compilation_for_any_sizes(function, operands)


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
    expect_the_same_exported(layer)


@captures
def test_torchscript(layer, capture):
    expect_the_same_in_torchscript(layer, capture)


def test_a_fake_weight_is_compressed_without_a_look():
    """What a fake kernel cannot see, that the weight is no 2:4 weight, it does not refuse."""
    with FakeTensorMode():
        values, bitmask = torch.ops.torchao.sparse24_compress(torch.ones(8, 70))
    assert (values.shape, bitmask.shape) == ((8, 36), (8, 9))
