"""awq: what it searches, that the model stays what it was, and that it rounds better afterwards."""

import copy

import pytest
import reference
import torch
from torch import nn
from torchao_ops import (
    Int4Linear,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt4WeightConfig,
    NF4WeightOnlyConfig,
    QuantLinear,
    awq,
    gptq,
    quantize_,
)
from torchao_ops.linear import SmoothedLinear

pytestmark = pytest.mark.usefixtures("device")

CONFIG = Int4WeightOnlyConfig(group_size=32)


def with_outliers(*shape: int) -> torch.Tensor:
    """Activations of which a few channels are large: their weights count for more."""
    x = torch.randn(*shape)
    x[..., ::9] *= 20
    return x


class Block(nn.Module):
    """q and k behind a norm, which takes the scale up, and a layer behind an activation, which multiplies."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(70)
        self.norm.weight.data = 1 + with_outliers(70).abs()
        self.q, self.k = nn.Linear(70, 96), nn.Linear(70, 96, bias=False)
        self.down = nn.Linear(96, 70)

    def forward(self, x):
        hidden = self.norm(x)
        return x + self.down((self.q(hidden) * self.k(hidden)).relu())


@pytest.mark.parametrize(
    "config",
    [CONFIG, Int4WeightOnlyConfig(200, symmetric=True), Int8DynamicActivationInt4WeightConfig(), NF4WeightOnlyConfig()],
    ids=str,
)
def test_outputs_are_nearer_than_those_of_rounded_weights(config):
    # In each group, few weights that matter, and others that are larger: room for the few to grow.
    linear = nn.Linear(150, 48)
    linear.weight.data.normal_()
    x = torch.randn(600, 150)
    x[:, ::50] *= 20
    x, other = x[:300], x[300:]
    rounded, scaled = copy.deepcopy(linear), copy.deepcopy(linear)
    quantize_(rounded, config)
    assert awq(scaled, [x], config) == {"": None}
    assert isinstance(scaled, SmoothedLinear)
    quantize_(scaled, config)
    errors = [reference.relative_error(layer(other), linear(other)) for layer in (scaled, rounded)]
    assert errors[0] < 0.8 * errors[1]


def test_the_scale_is_the_best_of_those_that_the_paper_names():
    linear, x = nn.Linear(70, 48), with_outliers(300, 70)
    magnitude = x.abs().mean(0)

    def error(alpha: float) -> float:
        scale = magnitude**alpha
        layer = nn.Linear(70, 48)
        layer.weight.data = linear.weight.detach() * scale
        layer.bias.data = linear.bias.data
        quantize_(layer, CONFIG)
        return reference.relative_error(layer(x / scale), linear(x))

    errors = {step: error(step / 20) for step in range(21)}
    best = min(errors, key=errors.get)
    assert best > 0
    scaled = copy.deepcopy(linear)
    awq(scaled, [x[:100], x[100:]], CONFIG)
    # But for a factor, which rounding does not see.
    ratio = scaled.input_scale * magnitude ** (best / 20)
    torch.testing.assert_close(ratio, ratio[0].expand(70), rtol=1e-3, atol=0)
    torch.testing.assert_close(scaled.weight * scaled.input_scale, linear.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_computes_what_it_did(dtype):
    model, x = Block().to(dtype).train(), with_outliers(50, 70).to(dtype)
    expected, norm = model(x), model.norm.weight.detach().clone()
    where = awq(model, iter([x]), CONFIG)
    assert where == {"q": "norm", "k": "norm", "down": None}
    assert model.training and not torch.equal(model.norm.weight, norm)
    assert type(model.q) is nn.Linear and isinstance(model.down, SmoothedLinear)
    assert reference.relative_error(model(x), expected) < 16 * torch.finfo(dtype).eps
    # Once is enough.
    assert "down" not in awq(model, [x], CONFIG)


def test_gptq_goes_on_where_awq_stops():
    model, x = Block(), with_outliers(300, 70)
    expected = model(x)
    errors = []
    for steps in ([], [awq], [awq, gptq]):
        treated = copy.deepcopy(model)
        for step in steps:
            step(treated, [x], CONFIG)
        quantize_(treated, CONFIG)
        assert all(isinstance(layer, Int4Linear) for layer in (treated.q, treated.k, treated.down))
        errors.append(reference.relative_error(treated(x), expected))
    assert errors[2] < errors[1] < errors[0]


def test_a_layer_that_nothing_can_help_stays():
    """Weights that 4 bits represent exactly."""
    linear = nn.Linear(32, 8)
    linear.weight.data = torch.randint(0, 16, (8, 32)).float()
    linear.weight.data[:, 0], linear.weight.data[:, 1] = 0, 15
    assert awq(linear, [with_outliers(100, 32)], CONFIG) == {}
    assert type(linear) is nn.Linear


def test_layers_that_are_left_alone_and_channels_of_zeros():
    model = nn.ModuleDict({name: nn.Linear(32, 32) for name in "abcd"})
    model["d"].weight = model["c"].weight
    model.forward = lambda x: model["c"](torch.relu(model["b"](torch.relu(model["a"](x)))))
    x = with_outliers(100, 32)
    x[:, 5] = 0
    assert awq(model, [x], CONFIG, lambda module, name: name != "b") == {"a": None}
    assert model["a"].input_scale.isfinite().all() and model["a"].input_scale[5] == 1


def test_wrong_arguments():
    linear, x = nn.Linear(8, 8), torch.randn(3, 8)
    with pytest.raises(TypeError, match="config must be an alias string or one of Int4WeightOnlyConfig, .* but got 32"):
        awq(linear, [x], 32)
    with pytest.raises(ValueError) as error:
        awq(linear, [])
    assert str(error.value) == "awq: calibration_inputs must not be empty"
    x[1, 2] = float("nan")
    with pytest.raises(ValueError) as error:
        awq(linear, [x])
    assert str(error.value) == "awq: the inputs of the model must be finite, but got NaN or Inf"
    assert type(linear) is nn.Linear and not isinstance(linear, QuantLinear)
