"""Quantization-aware training: bitwise what the quantized layers compute, with gradients, and better than rounding afterwards."""

import copy

import pytest
import reference
import torch
from torch import nn
from torch.nn import functional as F
from torchao_ops import (
    Int4WeightOnlyConfig,
    QATConfig,
    QATLinear,
    QuantLinear,
    int4_dequantize,
    int4_quantize,
    int8_dequantize,
    int8_quantize,
    quantize_,
    smoothquant,
    to_nf4,
)
from torchao_ops.config import _ALIASES

pytestmark = pytest.mark.usefixtures("device")

# Every config that has a short name, so that new formats are tested as they come.
CONFIGS = [config_class() for config_class, _ in dict.fromkeys(_ALIASES.values())] + [
    Int4WeightOnlyConfig(group_size=32, symmetric=True),
    Int4WeightOnlyConfig(group_size=32, qparams="hqq"),
]


def prepared(linear: nn.Linear, config) -> QATLinear:
    layer = copy.deepcopy(linear)
    quantize_(layer, QATConfig(config, step="prepare"))
    return layer


@pytest.fixture(params=CONFIGS, ids=str)
def config(request):
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_prepared_and_converted_and_quantized_layers_are_the_same_to_the_last_bit(config, dtype):
    linear, x = nn.Linear(80, 48).to(dtype), torch.randn(2, 3, 80).to(dtype)
    layer, quantized = prepared(linear, config), copy.deepcopy(linear)
    quantize_(quantized, config)
    assert type(layer) is QATLinear and torch.equal(layer.weight, linear.weight)
    y = layer(x)
    assert torch.equal(y, quantized(x))
    assert torch.equal(layer.quantized().weight, quantized.weight)
    quantize_(layer, QATConfig(config, step="convert"))
    assert repr(layer) == repr(quantized)
    assert torch.equal(layer(x), y)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, quantized.state_dict()[name]), name


@pytest.mark.parametrize("config", ["int4wo-32", "8da4w-32", "int8wo", "int8dq", "nf4"])
def test_the_weight_is_what_the_operators_make_of_it(config):
    layer = prepared(nn.Linear(80, 48), config)
    weight = layer.weight.detach()
    if "4w" in config:
        expected = int4_dequantize(*int4_quantize(weight, 32), 32, 80)
    elif config == "nf4":
        expected = to_nf4(weight, 64, 256).dequantize()
    else:
        expected = int8_dequantize(*int8_quantize(weight))
    assert torch.equal(layer.quantized().weight, expected)
    # Of the identity, to which rounding to 8 bits does nothing, the product is the weight.
    y = F.linear(torch.eye(80), expected, layer.bias)
    torch.testing.assert_close(layer(torch.eye(80)), y)


@pytest.mark.parametrize("smooth", [False, True])
def test_gradients(config, smooth):
    linear, x = nn.Linear(80, 48), torch.randn(2, 3, 80)
    x[..., ::7] *= 10
    if smooth:
        smoothquant(linear, [x])
    layer, quantized = prepared(linear, config), copy.deepcopy(linear)
    quantize_(quantized, config)
    grad_output = torch.randn(2, 3, 48)
    gradients = []
    for module in (layer, quantized):
        x = x.detach().requires_grad_()
        (module(x) * grad_output).sum().backward()
        gradients.append((x.grad, module.bias.grad))
    # x's and the bias's are those of the operator.
    assert torch.equal(gradients[0][0], gradients[1][0]) and torch.equal(gradients[0][1], gradients[1][1])
    scaled = x * linear.input_scale if smooth else x
    torch.testing.assert_close(layer.weight.grad, grad_output.flatten(0, 1).T @ scaled.flatten(0, 1))
    assert (layer.input_scale is not None) == smooth


def test_gradients_of_one_row_and_of_none():
    layer = prepared(nn.Linear(8, 4), "int8wo")
    for shape in ((8,), (0, 8), (2, 0, 8)):
        layer.zero_grad()
        x = torch.randn(shape)
        layer(x).sum().backward()
        assert torch.allclose(layer.weight.grad, x.reshape(-1, 8).sum(0).expand(4, 8))
    with torch.no_grad():
        assert not layer(x).requires_grad
    layer.weight.requires_grad_(False)
    assert layer(torch.randn(8, requires_grad=True)).requires_grad


@pytest.mark.parametrize("config", [Int4WeightOnlyConfig(64, symmetric=True), "8da4w-64"], ids=str)
def test_training_beats_rounding(config):
    """A student that is trained under quantization is nearer to its teacher than the teacher, quantized: on inputs it has not seen."""
    teacher = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    # Channels that have much in common can make up for each other's errors.
    x, unseen = (torch.randn(1024, 6) @ torch.randn(6, 32)).chunk(2)
    rounded, student = copy.deepcopy(teacher), copy.deepcopy(teacher)
    quantize_(rounded, config)
    quantize_(student, QATConfig(config, step="prepare"))
    with torch.no_grad():
        target, expected = teacher(x), teacher(unseen)
    steps = 100
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, total_iters=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(student(x), target).backward()
        optimizer.step()
        schedule.step()
    before_conversion = student(unseen)
    quantize_(student, QATConfig(config, step="convert"))
    assert all(isinstance(student[i], QuantLinear) for i in (0, 2, 4))
    assert torch.equal(student(unseen), before_conversion)
    errors = [reference.relative_error(model(unseen), expected) for model in (student, rounded)]
    assert errors[0] < 0.7 * errors[1], errors


def test_which_layers_are_prepared_and_converted():
    model = nn.ModuleDict({"a": nn.Linear(32, 32), "b": nn.Linear(32, 32), "c": nn.Linear(32, 32)})
    model["b"].weight = model["a"].weight
    parameters = dict(model.named_parameters())
    quantize_(model, QATConfig("int8wo", step="prepare"), lambda module, name: name != "c")
    assert [type(layer) for layer in model.values()] == [QATLinear, QATLinear, nn.Linear]
    assert dict(model.named_parameters()) == parameters
    # Layers that are being trained are not to be quantized without a word, nor ones that are not to be trained.
    quantize_(model, "int4wo", lambda module, name: name != "c")
    quantize_(model, QATConfig("int8wo", step="convert"))
    assert [type(layer).__name__ for layer in model.values()] == ["Int8Linear", "Int8Linear", "Linear"]
    assert model["a"].weight_codes is model["b"].weight_codes


def test_a_prepared_model_saves_loads_and_copies_like_the_dense_one(config):
    dense = nn.Sequential(nn.Linear(80, 48), nn.ReLU(), nn.Linear(48, 8))
    model, x = prepared(dense, config), torch.randn(3, 80)
    assert model.state_dict().keys() == dense.state_dict().keys()
    y = model(x)
    other = prepared(nn.Sequential(nn.Linear(80, 48), nn.ReLU(), nn.Linear(48, 8)), config)
    other.load_state_dict(dense.state_dict())
    assert torch.equal(other(x), y) and torch.equal(copy.deepcopy(model)(x), y)
    assert str(config) in repr(model)


def test_transformer_layers_of_torch():
    model, x = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval(), torch.randn(3, 9, 32)
    quantize_(model, QATConfig("int8dq", step="prepare"))
    with torch.no_grad():
        y = model(x)
        quantize_(model, QATConfig("int8dq", step="convert"))
        assert torch.equal(model(x), y)


def test_compiled_training():
    model, x = prepared(nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)), "int4wo-32"), torch.randn(5, 32)
    model(x).square().sum().backward()
    expected = model[0].weight.grad.clone()
    model.zero_grad()
    torch.compile(model, backend="eager")(x).square().sum().backward()
    torch.testing.assert_close(model[0].weight.grad, expected)


def test_wrong_arguments():
    with pytest.raises(ValueError) as error:
        QATConfig("int8wo", step="train")
    assert str(error.value) == 'QATConfig: step must be "prepare" or "convert", but got \'train\''
    with pytest.raises(ValueError, match="config must be one of .* but got 'int9'"):
        QATConfig("int9", step="prepare")
    for wrong in (32, QATConfig("int8wo", step="prepare")):
        with pytest.raises(TypeError, match="config must be an alias string or one of Int4WeightOnlyConfig"):
            quantize_(nn.Linear(8, 8), QATConfig(wrong, step="prepare"))
    model = nn.Sequential(prepared(nn.Linear(8, 8), "int8wo-4"), prepared(nn.Linear(8, 8), "int8wo"))
    with pytest.raises(ValueError) as error:
        quantize_(model, QATConfig("int8wo-4", step="convert"))
    assert str(error.value) == (
        "quantize_: base_config must be what 1 was prepared with, Int8WeightOnlyConfig(group_size=None), but got "
        "Int8WeightOnlyConfig(group_size=4)"
    )
    assert type(model[0]) is QATLinear
