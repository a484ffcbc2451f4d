"""smoothquant: what it computes, where the scales go, and that the model stays what it was."""

import pytest
import reference
import torch
from helpers import FLOAT_DTYPES
from torch import nn
from torchao_ops import Int8DynamicActivationInt8WeightConfig, QuantLinear, quantize_, smoothquant
from torchao_ops.linear import SmoothedLinear

pytestmark = pytest.mark.usefixtures("device")


class Block(nn.Module):
    """What a transformer has: q and k behind a norm, a residual connection, and layers behind an activation."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.q, self.k = nn.Linear(32, 24), nn.Linear(32, 24, bias=False)
        self.up, self.down = nn.Linear(32, 40), nn.Linear(40, 32)

    def forward(self, x):
        hidden = self.norm(x)
        mixed = (self.q(hidden) * self.k(hidden)).sum(-1, keepdim=True)
        x = x + mixed
        return x + self.down(torch.relu(self.up(x)))


def with_outliers(*shape: int) -> torch.Tensor:
    """Activations with a few large channels, as language models have them."""
    x = torch.randn(*shape)
    x[..., ::7] *= 30
    return x


def block(norm: nn.Module | None = None) -> Block:
    model = Block(norm or nn.LayerNorm(32)).eval()
    if norm is None:
        model.norm.weight.data = 1 + with_outliers(32).abs()
        model.norm.bias.data = torch.randn(32)
    return model


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_the_scales_are_those_of_the_paper(alpha):
    layer = nn.Linear(32, 24)
    before = layer.weight.detach().clone()
    batches = [with_outliers(5, 32), with_outliers(2, 3, 32)]
    smoothquant(layer, batches, alpha)
    largest_x = torch.cat([batch.reshape(-1, 32) for batch in batches]).abs().amax(0)
    scale = largest_x**alpha / before.abs().amax(0) ** (1 - alpha)
    torch.testing.assert_close(layer.input_scale, 1 / scale)
    torch.testing.assert_close(layer.weight, before * scale)


def test_layers_with_one_input_share_a_scale_and_the_norm_takes_it_up():
    model, x = block(), with_outliers(9, 32)
    w = torch.cat((model.q.weight, model.k.weight)).detach()
    before, hidden, y = model.norm.weight.detach().clone(), model.norm(x).detach(), model(x).detach()
    q = model.q.weight.detach().clone()
    where = smoothquant(model, [x])
    assert where == {"q": "norm", "k": "norm", "up": None, "down": None}
    scale = (hidden.abs().amax(0) / w.abs().amax(0)).sqrt()
    torch.testing.assert_close(model.norm.weight, before / scale)
    torch.testing.assert_close(model.q.weight, q * scale)
    assert type(model.q) is nn.Linear and isinstance(model.up, SmoothedLinear)
    assert reference.relative_error(model(x), y) < 8 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_the_model_computes_what_it_did(dtype):
    model, x = block().to(dtype), with_outliers(9, 32).to(dtype)
    expected = model(x)
    smoothquant(model, [x])
    # The weights, the norm's parameters and the scaled activations are each rounded anew, in two layers.
    assert reference.relative_error(model(x), expected) < 8 * torch.finfo(dtype).eps
    assert all(parameter.dtype == dtype for parameter in model.state_dict().values())


def test_smoothed_activations_round_better():
    model, x = block(), with_outliers(64, 32)
    expected = model(x)
    errors = []
    for smooth in (False, True):
        quantized = block()
        quantized.load_state_dict(model.state_dict())
        if smooth:
            smoothquant(quantized, [x])
        quantize_(quantized, "int8dq")
        errors.append(reference.relative_error(quantized(x), expected))
    assert errors[1] < 0.7 * errors[0]


class OneMore(nn.Module):
    """A norm whose weight counts from 1, as Gemma's: dividing the parameter does not divide the result."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(32))

    def forward(self, x):
        return nn.functional.normalize(x, dim=-1) * (1 + self.weight)


# Made in the test, where random numbers have a seed.
NORMS = {
    "RMSNorm": (lambda: nn.RMSNorm(32), True),
    "Linear": (lambda: nn.Linear(32, 32), True),
    "LayerNorm": (lambda: nn.LayerNorm(32), True),
    "LayerNorm without parameters": (lambda: nn.LayerNorm(32, elementwise_affine=False), False),
    "LayerNorm without bias": (lambda: nn.LayerNorm(32, bias=False), True),
    "OneMore": (OneMore, False),
    "LayerNorm and Dropout": (lambda: nn.Sequential(nn.LayerNorm(32), nn.Dropout(0.1)), False),
}


@pytest.mark.parametrize("make_norm, folds", NORMS.values(), ids=NORMS)
def test_what_takes_up_a_scale(make_norm, folds):
    norm = make_norm()
    model, x = block(norm), with_outliers(9, 32)
    parameters = [parameter.detach().clone() for parameter in norm.parameters()]
    expected = model(x)
    where = smoothquant(model, [x])
    assert where["q"] == where["k"] == ("norm" if folds else None)
    assert reference.relative_error(model(x), expected) < 8 * torch.finfo(torch.float32).eps
    changed = [not torch.equal(now, before) for now, before in zip(norm.parameters(), parameters, strict=True)]
    assert any(changed) == folds


class UsesNormTwice(Block):
    def forward(self, x):
        hidden = self.norm(x)
        return self.q(hidden) + hidden[..., :24]


class ReturnsNorm(Block):
    def forward(self, x):
        hidden = self.norm(x)
        return {"y": self.q(hidden), "hidden": hidden}


class CallsNormTwice(Block):
    def forward(self, x):
        return self.q(self.norm(x)) + self.norm(2 * x)[..., :24]


class SometimesAnotherUse(Block):
    """As UsesNormTwice, but not for the first input."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        hidden = self.norm(x)
        return self.q(hidden) + (hidden[..., :24] if self.calls > 1 else 0)


@pytest.mark.parametrize("kind", [UsesNormTwice, ReturnsNorm, CallsNormTwice, SometimesAnotherUse])
def test_an_output_that_goes_elsewhere_stays_as_it_is(kind):
    model = kind(nn.LayerNorm(32)).eval()
    before = model.norm.weight.detach().clone()
    assert smoothquant(model, [with_outliers(9, 32), with_outliers(9, 32)]) == {"q": None}
    assert torch.equal(model.norm.weight, before)


def test_a_shared_weight_and_a_shared_norm_stay():
    model = block()
    model.tied = nn.Linear(32, 24)
    model.tied.weight = model.q.weight
    other = block()
    other.norm.weight = model.norm.weight
    pair = nn.Sequential(model, other)
    where = smoothquant(pair, [with_outliers(9, 32)])
    assert "0.q" not in where  # its weight is tied's, too
    assert where["0.k"] is None and where["1.q"] is None  # the two norms share a weight


def test_inputs_of_every_kind():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x, scale=1.0):
            return self.layer(input=x * scale)

    x = torch.randn(3, 8)
    scales = []
    for inputs in (x, (x, 1.0), [x], {"x": x, "scale": 1.0}):
        torch.manual_seed(0)
        model = Two().train()
        assert smoothquant(model, iter([inputs])) == {"layer": None}
        assert model.training and model.layer.training
        scales.append(model.layer.input_scale)
    assert all(torch.equal(scale, scales[0]) for scale in scales)


def test_filter_and_layers_that_are_not_reached():
    model = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8), "c": nn.Linear(8, 8)})
    model.forward = lambda x: model["b"](model["a"](x))
    before = {name: layer.weight.detach().clone() for name, layer in model.items()}
    assert smoothquant(model, [torch.randn(3, 8)], filter_fn=lambda module, name: name != "b") == {"a": None}
    assert not torch.equal(model["a"].weight, before["a"])
    assert torch.equal(model["b"].weight, before["b"]) and torch.equal(model["c"].weight, before["c"])
    # Once is enough.
    assert smoothquant(model, [torch.randn(3, 8)]) == {"b": "a"}


def test_channels_of_zeros_stay():
    layer = nn.Linear(8, 8)
    layer.weight.data[:, 3] = 0
    x = torch.randn(5, 8)
    x[:, 6] = 0
    expected = layer(x)
    smoothquant(layer, [x])
    assert layer.input_scale[3] == layer.input_scale[6] == 1
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("config", ["int8dq", "int8wo-4", "int4wo-4", "8da4w-4", "nf4-32"])
def test_quantized_layers_keep_their_input_scale(config, device, tmp_path):
    torch.manual_seed(1)
    model, x = block(), with_outliers(9, 32)
    smoothquant(model, [x])
    weight = model.up.weight * model.up.input_scale
    expected = model(x)
    quantize_(model, config)
    assert isinstance(model.up, QuantLinear) and model.up.input_scale is not None and model.q.input_scale is None
    assert "input_scale=True" in repr(model.up) and "input_scale" not in repr(model.q)
    assert reference.relative_error(model.up.weight, weight) < 0.12
    assert reference.relative_error(model(x), expected) < 0.15
    assert model.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16
    assert model.up(x).dtype == torch.float32

    # A model that was never smoothed takes the scales from the checkpoint.
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = block().to(torch.bfloat16)
    quantize_(loaded, config)
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    x = x.bfloat16()
    assert torch.equal(loaded(x), model(x))
    for captured in (torch.compile(model, fullgraph=True, backend="eager"), torch.jit.trace(model, x)):
        assert torch.equal(captured(x), model(x))
    assert torch.equal(torch.jit.script(model.up)(x), model.up(x))


def test_a_layer_on_its_own_keeps_its_input_scale():
    layer, x = nn.Linear(32, 24), with_outliers(9, 32)
    smoothquant(layer, [x])
    quantized = QuantLinear.from_linear(layer, Int8DynamicActivationInt8WeightConfig())
    assert torch.equal(quantized.input_scale, layer.input_scale)
    assert reference.relative_error(quantized(x), layer(x)) < 0.02


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_is_from_0_to_1(alpha):
    with pytest.raises(ValueError) as error:
        smoothquant(nn.Linear(8, 8), [torch.randn(3, 8)], alpha)
    assert str(error.value) == f"smoothquant: alpha must be from 0 to 1, but got {alpha!r}"


def test_there_must_be_inputs():
    with pytest.raises(ValueError) as error:
        smoothquant(nn.Linear(8, 8), [])
    assert str(error.value) == "smoothquant: calibration_inputs must not be empty"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite(value):
    model, x = block(), with_outliers(9, 32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x[3, 5] = value
    with pytest.raises(ValueError, match="smoothquant: the inputs of q must be finite, but got NaN or Inf"):
        smoothquant(model, [x])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
