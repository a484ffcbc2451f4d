"""2:4 sparse weights in cuSPARSELt's layout: what can be said without a device, on one that they multiply as the plain operators do, and when layers
use them."""

import copy
import io
import pickle

import pytest
import reference
import torch
import torchao_ops
from helpers import DTYPES_OF_8_BITS, Sparse24Weight
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torchao_ops import (
    QuantLinear,
    sparse24_compress,
    sparse24_cusparselt_compress,
    sparse24_cusparselt_dynamic_mm,
    sparse24_cusparselt_mm,
    sparse24_decompress,
    sparse24_dynamic_mm,
    sparse24_mm,
    sparse24_prune,
)

DTYPES = (torch.float16, torch.bfloat16)


def error_of(call) -> str:
    with pytest.raises(RuntimeError) as error:
        call()
    return str(error.value)


def compressed(shape: tuple[int, int], dtype: torch.dtype, device: str = "cpu"):
    weight = torch.randn(shape, device=device).to(dtype)
    return sparse24_compress(weight, sparse24_prune(weight))


def test_cpu_tensors_are_refused_by_operators_and_fakes():
    values, bitmask = compressed((16, 64), torch.float16)
    x, scale = torch.randn(8, 64).half(), torch.ones(16)
    codes = torch.zeros(16, 32, dtype=torch.int8)
    for mode in (None, FakeTensorMode(allow_non_fake_inputs=True)):
        calls = {
            "sparse24_cusparselt_compress: values": lambda: sparse24_cusparselt_compress(values, bitmask, 64),
            "sparse24_cusparselt_mm: x": lambda: sparse24_cusparselt_mm(x, values.flatten(), 16),
            "sparse24_cusparselt_dynamic_mm: x": lambda: sparse24_cusparselt_dynamic_mm(
                x, codes.flatten(), codes, bitmask, scale
            ),
        }
        for start, call in calls.items():
            expected = f"{start} must be on a CUDA device, which cuSPARSELt is for, but got cpu"
            if mode is None:
                assert error_of(call) == expected
            else:
                with mode:
                    assert error_of(call) == expected


def test_fake_cuda_tensors():
    with FakeTensorMode(shape_env=ShapeEnv()):
        values = torch.empty(16, 32, dtype=torch.bfloat16, device="cuda")
        bitmask = torch.empty(16, 8, dtype=torch.uint8, device="cuda")
        packed = sparse24_cusparselt_compress(values, bitmask, 64)
        assert (packed.dim(), packed.dtype, packed.device) == (1, torch.bfloat16, torch.device("cuda:0"))
        x = torch.empty(2, 5, 64, dtype=torch.bfloat16, device="cuda")
        bias = torch.empty(16, device="cuda")
        y = sparse24_cusparselt_mm(x, packed, 16, bias)
        assert (y.shape, y.dtype, y.device) == ((2, 5, 16), torch.bfloat16, torch.device("cuda:0"))
        op = "sparse24_cusparselt_mm"
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x, packed, -1))
            == f"{op}: out_features must be at least 0, but got -1"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x.half(), packed, 16))
            == f"{op}: packed must be float16, but got bfloat16"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x.float(), packed, 16))
            == f"{op}: x must be float16 or bfloat16, but got float32"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x, packed, 16, bias[:8]))
            == f"{op}: bias must be [N] = [16], but got [8]"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x.requires_grad_(), packed, 16))
            == f"{op}: x must not require grad, but got requires_grad=True"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_compress(values.float(), bitmask, 64))
            == "sparse24_cusparselt_compress: values must be float16, bfloat16, int8 or float8_e4m3fn, but got float32"
        )


@pytest.mark.parametrize("values_dtype", DTYPES_OF_8_BITS)
def test_fake_cuda_tensors_of_8_bits(values_dtype):
    with FakeTensorMode(shape_env=ShapeEnv()):
        values = torch.empty(16, 32, dtype=values_dtype, device="cuda")
        bitmask = torch.empty(16, 8, dtype=torch.uint8, device="cuda")
        packed = sparse24_cusparselt_compress(values, bitmask, 64)
        assert (packed.dim(), packed.dtype) == (1, values_dtype)
        scale = torch.empty(16, device="cuda")
        for dtype in (torch.float32, *DTYPES):
            x = torch.empty(2, 5, 64, dtype=dtype, device="cuda")
            y = sparse24_cusparselt_dynamic_mm(x, packed, values, bitmask, scale, scale)
            assert (y.shape, y.dtype, y.device) == ((2, 5, 16), dtype, torch.device("cuda:0"))
        bad = {
            "packed must be " + str(values_dtype)[6:] + ", but got uint8": (
                packed.view(torch.uint8),
                values,
                bitmask,
                scale,
            ),
            "packed must be [packed bytes], but got [16, 32]": (values, values, bitmask, scale),
            "values must be int8 or float8_e4m3fn, but got float16": (packed, values.to(torch.float16), bitmask, scale),
            "values must be [N, 2 * ceil(K / 4)] = [16, 32], but got [16, 16]": (
                packed,
                values[:, ::2],
                bitmask,
                scale,
            ),
            "weight_scale must be [N] = [16], but got [8]": (packed, values, bitmask, scale[:8]),
            "bias must be [N] = [16], but got [8]": (packed, values, bitmask, scale, scale[:8]),
        }
        for message, arguments in bad.items():
            call = error_of(lambda arguments=arguments: sparse24_cusparselt_dynamic_mm(x, *arguments))
            assert call == f"sparse24_cusparselt_dynamic_mm: {message}"


# ---- on a device ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, shape", [(256, (512, 1024)), (1, (32, 64)), (130, (41, 390)), (3, (5, 7))])
def test_multiplies_as_sparse24_mm_does(cuda, rows, shape, dtype):
    values, bitmask = compressed(shape, dtype, "cuda")
    x, bias = torch.randn(rows, shape[1], device="cuda").to(dtype), torch.randn(shape[0], device="cuda").to(dtype)
    packed = sparse24_cusparselt_compress(values, bitmask, shape[1])
    for arguments in ((), (bias,)):
        for _ in range(2):  # the first one searches for an algorithm
            y = sparse24_cusparselt_mm(x, packed, shape[0], *arguments).float()
            expected = sparse24_mm(x.float(), values.float(), bitmask, None, *arguments)
            error = (y - expected).norm() / expected.norm()
            assert error < (1e-3 if dtype == torch.float16 else 8e-3), arguments


@pytest.mark.parametrize("dtype", (torch.float32, *DTYPES))
@pytest.mark.parametrize("values_dtype", DTYPES_OF_8_BITS)
@pytest.mark.parametrize("rows, shape", [(256, (512, 1024)), (1, (32, 64)), (130, (41, 390)), (3, (5, 7))])
def test_multiplies_as_sparse24_dynamic_mm_does(cuda, rows, shape, values_dtype, dtype):
    """int8 gives the same bits, in rows that are not rounded as well. Tensor cores add products of float8_e4m3fn in less than fp32."""
    weight = Sparse24Weight.random(*shape, values_dtype).to("cuda")
    values, bitmask, scale = weight.mm_args
    x, bias = torch.randn(rows, shape[1], device="cuda").to(dtype), torch.randn(shape[0], device="cuda")
    x[rows // 2, 0] = torch.inf
    packed = sparse24_cusparselt_compress(values, bitmask, shape[1])
    for arguments in ((), (bias,)):
        for _ in range(2):
            y = sparse24_cusparselt_dynamic_mm(x, packed, values, bitmask, scale, *arguments)
            expected = sparse24_dynamic_mm(x, values, bitmask, scale, *arguments)
            if values_dtype == torch.int8:
                torch.testing.assert_close(y, expected, rtol=0, atol=0, equal_nan=True)
            else:
                finite = torch.arange(rows, device="cuda") != rows // 2
                assert torch.equal(y.isfinite(), expected.isfinite())
                assert reference.relative_error(y[finite], expected[finite]) < (
                    8e-3 if dtype == torch.bfloat16 else 2e-3
                )


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_product_in_a_graph(cuda, dynamic):
    values, bitmask = compressed((64, 128), torch.float16, "cuda")
    x, scale = torch.randn(48, 128, device="cuda").half(), torch.ones(64, device="cuda")
    if dynamic:
        values = (20 * values).to(torch.int8)
    packed = sparse24_cusparselt_compress(values, bitmask, 128)

    def product():
        if dynamic:
            return sparse24_cusparselt_dynamic_mm(x, packed, values, bitmask, scale)
        return sparse24_cusparselt_mm(x, packed, 64)

    expected = product()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = product()
    y.zero_()
    graph.replay()
    assert torch.equal(y, expected)


# ---- layers ----


class Cusparselt:
    """In place of cuSPARSELt, on any device: its layout is the dense weight."""

    def __init__(self) -> None:
        self.packed, self.products = 0, 0

    def compress(self, values: Tensor, bitmask: Tensor, in_features: int) -> Tensor:
        self.packed += 1
        return sparse24_decompress(values, bitmask, in_features).flatten()

    def mm(self, x: Tensor, packed: Tensor, out_features: int, bias: Tensor | None = None) -> Tensor:
        self.products += 1
        assert not torch.is_grad_enabled() or not (x.requires_grad or (bias is not None and bias.requires_grad))
        return sparse24_mm(x, *sparse24_compress(packed.view(out_features, -1)), None, bias)

    def dynamic_mm(self, x, packed, values, bitmask, weight_scale, bias=None) -> Tensor:
        self.products += 1
        return sparse24_dynamic_mm(x, *sparse24_compress(packed.view(len(values), -1)), weight_scale, bias)

    def counts(self) -> tuple[int, int]:
        return self.packed, self.products


@pytest.fixture
def cusparselt(monkeypatch):
    stand_in = Cusparselt()
    monkeypatch.setattr(torchao_ops.cusparselt, "is_available", lambda device: True)
    for name in ("compress", "mm", "dynamic_mm"):
        monkeypatch.setattr(torch.ops.torchao, f"sparse24_cusparselt_{name}", getattr(stand_in, name))
    return stand_in


LAYERS = pytest.mark.parametrize("config", ["sparse24", "int8dq_sparse24"])
MANY, FEW = 129, 128


def linear(dtype: torch.dtype = torch.bfloat16) -> nn.Linear:
    layer = nn.Linear(64, 48, dtype=dtype)
    with torch.no_grad():
        layer.weight.mul_(sparse24_prune(layer.weight))
    return layer.requires_grad_(False)


def sparse_layer(config: str, dtype: torch.dtype = torch.bfloat16) -> QuantLinear:
    model = nn.Sequential(linear(dtype))
    torchao_ops.quantize_(model, config)
    return model[0]


def rows_of_x(rows: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(rows, 64).to(dtype)


def plain(layer: QuantLinear, x: Tensor) -> Tensor:
    if layer.dynamic_activations:
        return sparse24_dynamic_mm(x, layer.weight_values, layer.weight_bitmask, layer.weight_scale, layer.bias)
    return sparse24_mm(x, layer.weight_values, layer.weight_bitmask, None, layer.bias)


@LAYERS
def test_many_rows_of_x_are_multiplied_by_cusparselt_and_the_weight_is_packed_once(config, cusparselt):
    layer = sparse_layer(config)
    for i, x in enumerate((rows_of_x(MANY), rows_of_x(300), rows_of_x(2 * MANY).view(2, MANY, 64))):
        assert torch.equal(layer(x), plain(layer, x))
        assert cusparselt.counts() == (1, i + 1)
    x = rows_of_x(FEW)
    assert torch.equal(layer(x), plain(layer, x))
    assert cusparselt.counts() == (1, 3)


def assigned(layer: QuantLinear, other: QuantLinear) -> None:
    layer.load_state_dict(other.state_dict(), assign=True)


def replaced(layer: QuantLinear, other: QuantLinear) -> None:
    for name in ("weight_values", "weight_bitmask", "weight_scale"):
        setattr(layer, name, getattr(other, name))


def copied(layer: QuantLinear, other: QuantLinear) -> None:
    layer.weight_values.copy_(other.weight_values)
    layer.weight_bitmask.copy_(other.weight_bitmask)
    if layer.weight_scale is not None:
        layer.weight_scale.copy_(other.weight_scale)


def set_data(layer: QuantLinear, other: QuantLinear) -> None:
    for name in ("weight_values", "weight_bitmask", "weight_scale"):
        if getattr(layer, name) is not None:
            getattr(layer, name).data = getattr(other, name).clone()


@LAYERS
@pytest.mark.parametrize(
    "change",
    [
        lambda layer, other: layer.load_state_dict(other.state_dict()),
        assigned,
        replaced,
        copied,
        set_data,
        lambda layer, other: layer.requantize_(other.weight),
    ],
    ids=["load_state_dict", "assign", "replace", "copy_", "data", "requantize_"],
)
def test_another_weight_is_packed_anew(config, change, cusparselt):
    layer, other, x = sparse_layer(config), sparse_layer(config), rows_of_x(MANY)
    layer(x)
    change(layer, other)
    assert torch.equal(layer(x), plain(layer, x))
    assert not torch.equal(layer.weight_bitmask, sparse_layer(config).weight_bitmask)
    assert cusparselt.counts() == (2, 2)


def test_a_weight_is_known_by_reference(cusparselt):
    """An address and a version are another tensor's once they are free."""
    values, bitmask = compressed((16, 64), torch.float16)
    packed = torchao_ops.cusparselt.PackedWeight(values, bitmask, 64)
    assert packed.is_of(values, bitmask)
    for others in ((values.detach(), bitmask), (values, bitmask.detach())):
        assert not packed.is_of(*others)


@LAYERS
def test_what_was_made_of_the_weight_goes_with_it(config, cusparselt):
    """Not only at the next product: its memory would be held until then."""
    for change in (lambda layer: layer.to("meta"), lambda layer: layer.load_state_dict(layer.state_dict())):
        layer = sparse_layer(config)
        layer(rows_of_x(MANY))
        assert layer._packed is not None
        change(layer)
        assert layer._packed is None


def test_another_dtype_is_packed_anew(cusparselt):
    layer = sparse_layer("sparse24")
    layer(rows_of_x(MANY))
    layer.half()
    x = rows_of_x(MANY, torch.float16)
    assert torch.equal(layer(x), plain(layer, x))
    assert cusparselt.counts() == (2, 2)


@LAYERS
@pytest.mark.parametrize(
    "copy_of", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "pickle"]
)
def test_it_is_neither_saved_nor_copied(config, copy_of, cusparselt):
    layer, x = sparse_layer(config), rows_of_x(MANY)
    before, size = set(layer.state_dict()), len(pickle.dumps(layer))
    layer(x)
    assert (
        set(layer.state_dict()) == before == {name for name, _ in (*layer.named_buffers(), *layer.named_parameters())}
    )
    assert len(pickle.dumps(layer)) == size
    copied_layer = copy_of(layer)
    assert copied_layer._packed is None and layer._packed is not None
    assert torch.equal(copied_layer(x), layer(x))
    assert cusparselt.counts() == (2, 3)


@LAYERS
def test_graphs_have_the_plain_operator(config, cusparselt):
    layer, x = sparse_layer(config), rows_of_x(MANY)
    expected = layer(x)
    op = "sparse24_dynamic_mm" if layer.dynamic_activations else "sparse24_mm"
    counts = cusparselt.counts()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    exported = torch.export.export(layer, (x,))
    assert f"torchao.{op}.default" in str(exported.graph)
    scripted = torch.jit.script(layer)
    saved = io.BytesIO()
    torch.jit.save(scripted, saved)
    saved.seek(0)
    for graph in (compiled, exported.module(), scripted, torch.jit.load(saved)):
        assert torch.equal(graph(x), expected)
    assert cusparselt.counts() == counts


def test_a_gradient_is_that_of_the_plain_operator(cusparselt):
    layer = sparse_layer("sparse24")
    x = rows_of_x(MANY).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        layer(x)
    assert cusparselt.counts() == (1, 1)
    layer.bias.requires_grad_()
    layer(x.detach()).sum().backward()
    assert layer.bias.grad is not None
    assert cusparselt.counts() == (1, 1)


def test_where_cusparselt_is_not_used(cusparselt, monkeypatch):
    """Nowhere are results other than those of the plain operator."""

    def counts_of(layer: QuantLinear, x: Tensor) -> tuple[int, int]:
        before = cusparselt.products
        assert torch.equal(layer(x), plain(layer, x))
        return cusparselt.products - before

    fp32 = sparse_layer("sparse24", torch.float32)
    assert counts_of(fp32, rows_of_x(MANY, torch.float32)) == 0
    with torch.inference_mode():
        unversioned = sparse_layer("int8dq_sparse24")
        assert counts_of(unversioned, rows_of_x(MANY)) == 0
        assert counts_of(sparse_layer("int8dq_sparse24").to("cpu"), rows_of_x(0)) == 0
    exact, dynamic = sparse_layer("sparse24"), sparse_layer("int8dq_sparse24")
    with torch.inference_mode():
        assert counts_of(exact, rows_of_x(MANY)) == 1
    assert counts_of(dynamic, rows_of_x(MANY, torch.float32)) == 1
    monkeypatch.setattr(torchao_ops.cusparselt, "is_batch_invariant", lambda: True)
    assert counts_of(exact, rows_of_x(MANY)) == 0
    assert counts_of(dynamic, rows_of_x(MANY)) == 1  # integers have one sum


@LAYERS
def test_no_weight_is_packed_while_a_graph_is_captured(config, cusparselt, monkeypatch):
    layer, x = sparse_layer(config), rows_of_x(MANY)
    monkeypatch.setattr(torchao_ops.cusparselt, "can_pack_now", lambda device: False)
    assert torch.equal(layer(x), plain(layer, x))
    assert cusparselt.counts() == (0, 0)
    monkeypatch.undo()


def test_never_on_a_cpu(monkeypatch):
    def fail(*_):
        raise AssertionError("packed on a CPU")

    monkeypatch.setattr(torch.ops.torchao, "sparse24_cusparselt_compress", fail)
    assert not torchao_ops.cusparselt.is_available(torch.device("cpu"))
    layer, x = sparse_layer("int8dq_sparse24"), rows_of_x(MANY)
    assert torch.equal(layer(x), plain(layer, x))


@LAYERS
def test_a_layer_on_a_device_packs_its_weight(cuda, config):
    if not torchao_ops.cusparselt.is_available(torch.device("cuda")):
        pytest.skip("there is no cuSPARSELt 0.8 in this process")
    layer = sparse_layer(config).to("cuda")
    x = torch.randn(300, 64, device="cuda").bfloat16()
    y, expected = layer(x), plain(layer, x)
    assert layer._packed is not None
    assert torch.equal(y, expected) if layer.dynamic_activations else reference.relative_error(y, expected) < 8e-3
