"""Quantized models captured as graphs: torch.compile, torch.export, AOTInductor, TorchScript."""

import io
import sysconfig
from pathlib import Path

import pytest
import reference
import torch
import torch._dynamo.testing
from helpers import Int4Weight, run_python
from make_consumer_models import IN_FEATURES, main, quantized_mlp
from torch import nn
from torchao_ops import (
    Float8DynamicActivationFloat8WeightConfig,
    Float8WeightOnlyConfig,
    Fp8Linear,
    Int4Linear,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt4WeightConfig,
    Int8DynamicActivationInt8SemiSparseWeightConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8Linear,
    Int8WeightOnlyConfig,
    NF4Linear,
    NF4WeightOnlyConfig,
    SemiSparseWeightConfig,
    Sparse24Linear,
    quantize_,
)
from torchao_ops._library import library_path

CONFIGS = [
    Int4WeightOnlyConfig(group_size=32),
    Int4WeightOnlyConfig(group_size=32, symmetric=True),
    Int8DynamicActivationInt4WeightConfig(group_size=32),
    Int8WeightOnlyConfig(),
    Int8DynamicActivationInt8WeightConfig(),
    NF4WeightOnlyConfig(),
    SemiSparseWeightConfig(),
    Int8DynamicActivationInt8SemiSparseWeightConfig(),
    Float8WeightOnlyConfig(),
    Float8DynamicActivationFloat8WeightConfig(),
]

pytestmark = pytest.mark.filterwarnings("ignore:.*a weight was not 2.4 sparse")


@pytest.fixture(params=CONFIGS, ids=str)
def model(request, device):
    model = nn.Sequential(nn.Linear(70, 48), nn.ReLU(), nn.Linear(48, 33, bias=False)).eval()
    quantize_(model, request.param)
    return model


@pytest.fixture
def x(device):
    return torch.randn(5, 70)


@pytest.fixture(autouse=True)
def _dynamo_forgets():
    torch._dynamo.reset()


def test_compile_with_a_dynamic_batch_compiles_once(model, device):
    if device == "cuda" and not Path(sysconfig.get_path("include"), "Python.h").is_file():
        pytest.skip("Inductor compiles for CUDA with Python.h, which is not installed")
    counter = torch._dynamo.testing.CompileCounterWithBackend("inductor")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    with torch.no_grad():
        for batch in (2, 3, 17, 64):
            x = torch.randn(batch, 70)
            torch._dynamo.mark_dynamic(x, 0)
            torch.testing.assert_close(compiled(x), model(x))
    assert counter.frame_count == 1


def test_compile_with_gradients(model, x):
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)
    for run in (model, compiled):
        x.requires_grad_().grad = None
        model[0].bias.grad = None
        run(x).square().sum().backward()
        if run is model:
            expected = (x.grad.clone(), model[0].bias.grad.clone())
    assert expected[0].norm() > 0
    torch.testing.assert_close((x.grad, model[0].bias.grad), expected)


@pytest.mark.usefixtures("device")
def test_compile_of_quantize_and_dequantize():
    def rounded(weight):
        packed, scale, zero_point = torch.ops.torchao.int4_quantize(weight, 32)
        return torch.ops.torchao.int4_dequantize(packed, scale, zero_point, 32, weight.shape[1])

    compiled = torch.compile(rounded, fullgraph=True, backend="aot_eager", dynamic=True)
    for shape in ((8, 70), (5, 33)):
        weight = torch.randn(shape)
        assert torch.equal(compiled(weight), rounded(weight))


@pytest.mark.usefixtures("device")
def test_symbolic_sizes_stay_symbolic():
    """Every size of every operand dynamic: the fake kernels compute with them and specialize none."""
    weight, x = Int4Weight.random(24, 70, 32), torch.randn(5, 70)
    operands = (x, *weight.mm_args[:3])

    def product(x, packed, scale, zero_point):
        return torch.ops.torchao.int4_mm(x, packed, scale, zero_point, 32)

    compiled = torch.compile(product, fullgraph=True, backend="eager", dynamic=True)
    counter = torch._dynamo.testing.CompileCounter()
    counted = torch.compile(product, fullgraph=True, backend=counter, dynamic=True)
    for out_features, in_features, rows in ((24, 70, 5), (40, 130, 9), (13, 35, 2)):
        weight, x = Int4Weight.random(out_features, in_features, 32), torch.randn(rows, in_features)
        operands = (x, *weight.mm_args[:3])
        assert torch.equal(compiled(*operands), product(*operands))
        counted(*operands)
    assert counter.frame_count == 1


def test_export_with_a_dynamic_batch(model, x):
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    targets = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    operators = {Int4Linear: "int4", Int8Linear: "int8", NF4Linear: "nf4", Sparse24Linear: "sparse24", Fp8Linear: "fp8"}
    name = operators[type(model[0])] + ("_dynamic_mm" if getattr(model[0], "dynamic_activations", False) else "_mm")
    assert targets.count(getattr(torch.ops.torchao, name).default) == 2
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for batch in (1, 2, 64):
        x = torch.randn(batch, 70)
        assert torch.equal(loaded(x), model(x))


def test_an_export_can_be_decomposed(model, x):
    exported = torch.export.export(model, (x,)).run_decompositions()
    assert torch.equal(exported.module()(x), model(x))


@pytest.fixture(scope="session")
def consumer_models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("consumer")
    main(directory)
    return directory


def test_the_models_for_cpp_give_what_is_written_beside_them(consumer_models):
    x, y = torch.load(consumer_models / "io.pt", weights_only=True)
    assert y.shape == (5, 7)
    assert torch.equal(quantized_mlp()(x), y)
    assert torch.equal(torch.jit.load(consumer_models / "model.ts")(x), y)
    torch.testing.assert_close(torch._inductor.aoti_load_package(str(consumer_models / "model.pt2"))(x), y)


def test_an_aotinductor_package_takes_any_batch(consumer_models):
    packaged = torch._inductor.aoti_load_package(str(consumer_models / "model.pt2"))
    model = quantized_mlp()
    for batch in (1, 2, 33):
        x = torch.randn(batch, IN_FEATURES)
        torch.testing.assert_close(packaged(x), model(x))


@pytest.mark.parametrize("load", ["torch.jit.load('model.ts')", "torch._inductor.aoti_load_package('model.pt2')"])
def test_saved_models_need_the_library_and_not_the_package(consumer_models, load):
    result = run_python(
        f"""
import os, sys, torch
import torch._inductor.codecache  # torch 2.10 uses it in aoti_load_package without importing it
torch.ops.load_library({str(library_path())!r})
os.chdir({str(consumer_models)!r})
x, y = torch.load("io.pt")
torch.testing.assert_close({load}(x), y)
assert "torchao_ops" not in sys.modules
"""
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("capture", [torch.jit.script, lambda model: torch.jit.trace(model, torch.randn(2, 70))])
def test_torchscript(model, x, capture):
    captured = capture(model)
    assert torch.equal(captured(x), model(x))
    file = io.BytesIO()
    torch.jit.save(captured, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    assert torch.equal(loaded(x), model(x))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    frozen = torch.jit.freeze(loaded.eval())
    assert torch.equal(frozen(x), model(x))


@pytest.mark.usefixtures("device")
def test_a_script_may_read_the_weight():
    class ReadsWeight(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(70, 48)

        def forward(self, x):
            return x @ self.layer.weight.t()

    model = ReadsWeight()
    quantize_(model, "int4wo-32")
    x = torch.randn(5, 70)
    assert torch.equal(torch.jit.script(model)(x), x @ model.layer.weight.t())


def test_fake_results_have_the_strides_of_real_ones(x):
    """Inductor generates code for the strides that the fake kernel promises."""
    weight = Int4Weight.random(48, 70, 32)
    for strided in (x, torch.randn(70, 5).t(), torch.randn(2, 5, 70).transpose(0, 1), torch.randn(5, 1, 70)):
        real = torch.ops.torchao.int4_mm(strided, *weight.mm_args)
        fake = torch.ops.torchao.int4_mm(strided.to("meta"), *weight.to("meta").mm_args)
        assert fake.stride() == real.stride()
        assert fake.dtype == real.dtype


def test_autocast_leaves_the_dtype_to_the_input(model, x, device):
    with torch.autocast(device, dtype=torch.bfloat16):
        y = model[0](x)
        assert y.dtype == torch.float32
        # A dense layer before it hands over bfloat16.
        assert model[0](x.bfloat16()).dtype == torch.bfloat16
    assert reference.relative_error(y, model[0](x)) == 0
