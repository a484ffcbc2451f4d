"""gptq: what it computes, in which order, and that what comes out is an ordinary layer that is nearer to the dense one."""

import copy
import sys

import pytest
import reference
import torch
from torch import nn
from torchao_ops import (
    Int4Linear,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt4WeightConfig,
    Int8WeightOnlyConfig,
    awq,
    gptq,
    quantize_,
    smoothquant,
)
from torchao_ops.gptq import quantize_weight

pytestmark = pytest.mark.usefixtures("device")

CONFIGS = [
    Int4WeightOnlyConfig(group_size=32),
    Int4WeightOnlyConfig(group_size=200, symmetric=True),
    Int4WeightOnlyConfig(group_size=7, qparams="hqq"),
    Int8DynamicActivationInt4WeightConfig(group_size=32),
]


def correlated(*shape: int) -> torch.Tensor:
    """Activations whose channels have much in common, and are of different size: what there is to gain from."""
    x = torch.randn(*shape[:-1], 8) @ torch.randn(8, shape[-1]) + 0.3 * torch.randn(*shape)
    return x * torch.linspace(0.2, 3, shape[-1])


def buffers(layer: Int4Linear) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in layer.state_dict().items() if name != "bias"}


def agreeing_rows(packed: torch.Tensor, expected: torch.Tensor) -> float:
    """Sums in another order may decide a near tie in another way, and what follows in that row differs, too."""
    return (packed == expected).all(1).float().mean().item()


def assert_same_weight(layer: Int4Linear, expected: dict[str, torch.Tensor | None]) -> None:
    for name, tensor in expected.items():
        actual = getattr(layer, name)
        assert (actual is None) == (tensor is None)
        assert actual is None or torch.equal(actual, tensor), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_outputs_are_nearer_than_those_of_rounded_weights(config, dtype):
    linear = nn.Linear(150, 24).to(dtype)
    x, other = (correlated(1200, 150).to(dtype) for _ in range(2))
    x, other = x[:600], x[600:]
    rounded, fitted = copy.deepcopy(linear), copy.deepcopy(linear)
    quantize_(rounded, config)
    assert gptq(fitted, [x], config) == [""]
    assert type(fitted) is Int4Linear and repr(fitted) == repr(rounded)
    assert fitted.bias is not None
    assert {name: tensor.shape for name, tensor in fitted.state_dict().items()} == {
        name: tensor.shape for name, tensor in rounded.state_dict().items()
    }
    errors = [reference.relative_error(layer(other), linear(other)) for layer in (fitted, rounded)]
    assert errors[0] < 0.75 * errors[1]


def rounded_one_by_one(weight, gram, scale, zero_point, order, damping) -> torch.Tensor:
    """The codes by the paper's equations: after each column, the inverse Hessian of those that are left."""
    w, inverse = weight.double().cpu(), gram.double().cpu()
    inverse = torch.linalg.inv(inverse + damping * inverse.diagonal().mean() * torch.eye(len(inverse), device="cpu"))
    codes = torch.zeros_like(w)
    for k in order.tolist():
        codes[:, k] = (w[:, k] / scale[:, k] + zero_point[:, k]).round().clamp(0, 15)
        error = w[:, k] - (codes[:, k] - zero_point[:, k]) * scale[:, k]
        w -= error[:, None] / inverse[k, k] * inverse[k]
        inverse -= inverse[:, k, None] * inverse[None, k] / inverse[k, k]
        inverse[k, k] = 1  # never looked at again
    return codes


@pytest.mark.parametrize("config", CONFIGS[:3], ids=str)
def test_codes_are_those_of_the_papers_equations(config):
    weight, x = torch.randn(16, 150), correlated(400, 150)
    gram = x.T @ x
    quantized = quantize_weight(weight, gram, config, damping=0.01)
    columns = reference.group_of_column(150, config.group_size)
    scale = quantized["weight_scale"].cpu().double()[:, columns]
    zero_point = quantized["weight_zero_point"]
    zero_point = torch.full_like(scale, 8) if zero_point is None else zero_point.cpu().double()[:, columns]
    order = gram.diagonal().cpu().argsort(descending=True)
    expected = rounded_one_by_one(weight, gram, scale, zero_point, order, 0.01)
    assert agreeing_rows(reference.unpack(quantized["weight_packed"], 150), expected) > 0.8
    plain = nn.Linear(150, 16)
    plain.weight.data = weight
    quantize_(plain, config)
    assert torch.equal(quantized["weight_scale"], plain.weight_scale)


def test_inputs_without_correlation_give_plain_rounding():
    linear = nn.Linear(70, 48)
    rounded = copy.deepcopy(linear)
    config = Int4WeightOnlyConfig(group_size=32)
    quantize_(rounded, config)
    gptq(linear, [torch.eye(70) * 3], config)
    assert_same_weight(linear, buffers(rounded))


def test_a_layer_sees_what_the_quantized_layers_before_it_give():
    first, second = nn.Linear(70, 150), nn.Linear(150, 48)
    model = nn.Sequential(first, nn.ReLU(), second)
    dense, x, config = copy.deepcopy(model), correlated(300, 70), CONFIGS[0]
    assert gptq(model, iter([x[:100], x[100:]]), config) == ["0", "2"]
    with torch.no_grad():
        assert_same_weight(
            first, quantize_weight(dense[0].weight, x[:100].T @ x[:100] + x[100:].T @ x[100:], config, 0.01)
        )
        hidden = model[:2](x)
        expected = quantize_weight(dense[2].weight, hidden.T @ hidden, config, 0.01)
        assert agreeing_rows(second.weight_packed, expected["weight_packed"]) > 0.8


class Block(nn.Module):
    """q and k with one input, a layer that is called twice, and one that is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.last = nn.Linear(40, 40), nn.Linear(40, 40)
        self.q, self.k, self.twice = nn.Linear(40, 40), nn.Linear(40, 40, bias=False), nn.Linear(40, 40)
        self.runs, self.ends = 0, 0

    def forward(self, x):
        self.runs += 1
        y = self.twice(self.twice(self.q(x) * self.k(x).sigmoid()).relu())
        y = self.last(y)
        self.ends += 1
        return y


def test_layers_are_treated_in_groups_and_runs_end_early():
    model, x = Block().train(), correlated(2, 50, 40)
    dense = copy.deepcopy(model)
    assert gptq(model, [x, (x,), {"x": x}], CONFIGS[0]) == ["last", "q", "k", "twice"]
    assert type(model.unused) is nn.Linear and model.training
    # The first time to see the groups, then for each of them: q and k, twice, last.
    assert (model.runs, model.ends) == (3 * (1 + 3), 3)
    rows = x.reshape(-1, 40)
    for name in ("q", "k"):
        expected = quantize_weight(dense.get_submodule(name).weight, rows.T @ rows, CONFIGS[0], 0.01)
        assert agreeing_rows(model.get_submodule(name).weight_packed, expected["weight_packed"]) > 0.8
    quantize_(model, "int4wo-8")
    assert type(model.unused) is Int4Linear and model.q.group_size == 32


def test_both_calls_of_a_layer_count():
    model, x = nn.Sequential(nn.Linear(40, 40)), correlated(100, 40)
    model.forward = lambda x: model[0](model[0](x))
    dense = copy.deepcopy(model[0])
    gptq(model, [x], CONFIGS[0])
    with torch.no_grad():
        hidden = dense(x)
        expected = quantize_weight(dense.weight, x.T @ x + hidden.T @ hidden, CONFIGS[0], 0.01)
    assert agreeing_rows(model[0].weight_packed, expected["weight_packed"]) > 0.8


def test_smoothed_layers():
    linear, x = nn.Linear(150, 24), correlated(600, 150)
    x[:, ::7] *= 30
    rounded, fitted = copy.deepcopy(linear), copy.deepcopy(linear)
    for layer in (rounded, fitted):
        smoothquant(layer, [x])
    quantize_(rounded, CONFIGS[0])
    gptq(fitted, [x], CONFIGS[0])
    assert torch.equal(fitted.input_scale, rounded.input_scale)
    errors = [reference.relative_error(layer(x), linear(x)) for layer in (fitted, rounded)]
    assert errors[0] < 0.75 * errors[1]


def test_filter_and_weights_that_belong_to_others():
    model = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8), "c": nn.Linear(8, 8)})
    model["embedding"] = nn.Embedding(8, 8)
    model["embedding"].weight = model["c"].weight
    model.forward = lambda x: model["c"](model["b"](model["a"](x)))
    assert gptq(model, [torch.randn(9, 8)], "int4wo-4", lambda module, name: name != "b") == ["a"]
    assert type(model["b"]) is type(model["c"]) is nn.Linear
    # What is quantized stays as it is.
    before = buffers(model["a"])
    assert gptq(model, [torch.randn(9, 8)], "int4wo-8") == ["b"]
    assert_same_weight(model["a"], before)


def test_few_inputs_and_channels_that_are_always_zero():
    linear, x = nn.Linear(150, 24), torch.zeros(1, 150)
    x[0, :5] = torch.randn(5) * 100
    rounded = copy.deepcopy(linear)
    quantize_(rounded, CONFIGS[0])
    gptq(linear, [x], CONFIGS[0], damping=1e-12)
    assert torch.equal(linear.weight[:, 5:], rounded.weight[:, 5:])
    assert linear.weight.isfinite().all()
    assert reference.relative_error(linear.weight, rounded.weight) < 0.5


def test_inputs_without_rows_or_of_zeros_only():
    for x in (torch.zeros(5, 70), torch.randn(0, 70)):
        linear = nn.Linear(70, 48)
        rounded = copy.deepcopy(linear)
        quantize_(rounded, CONFIGS[0])
        gptq(linear, [x], CONFIGS[0])
        assert_same_weight(linear, buffers(rounded))


def test_a_group_with_nan_leaves_the_others_alone():
    weight, x = torch.randn(4, 70), correlated(100, 70)
    weight[1, 40] = float("nan")
    layer = Int4Linear(70, 4, bias=False, config=CONFIGS[0])
    layer._set_weight(CONFIGS[0], quantize_weight(weight, x.T @ x, CONFIGS[0], 0.01), torch.float32)
    bad = layer.weight.isnan().nonzero().cpu()
    assert bad.tolist() == [[1, k] for k in range(32, 64)]


def test_transformer_layers_of_torch():
    model = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    dense, x = copy.deepcopy(model), torch.randn(3, 9, 32)
    assert gptq(model, [x], "8da4w-32") == ["linear1", "linear2"]
    with torch.no_grad():
        y = model(x)
    assert 0 < reference.relative_error(y, dense(x)) < 0.1
    # Not the fused path, which would ignore that activations are rounded.
    assert reference.relative_error(y, model(x.requires_grad_())) < 1e-4


@pytest.mark.parametrize("method", [gptq, awq], ids=["gptq", "awq"])
def test_progress_bars_count_inputs_and_groups_of_layers(method, monkeypatch):
    bars = []

    def bar(iterable, desc, disable):
        bars.append((desc, len(iterable), disable))
        return iterable

    name = method.__name__
    for module in (name, "calibration"):
        monkeypatch.setattr(sys.modules[f"torchao_ops.{module}"], "tqdm", bar)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    method(model, [torch.randn(4, 8) for _ in range(3)], "int4wo-8")
    # None: tqdm shows it where there is a terminal.
    assert bars == [(name, 3, None), (name, 2, None)]


def test_wrong_arguments():
    linear, x = nn.Linear(8, 8), torch.randn(3, 8)
    with pytest.raises(TypeError) as error:
        gptq(linear, [x], Int8WeightOnlyConfig())
    assert str(error.value) == (
        "gptq: config must be an Int4WeightOnlyConfig or Int8DynamicActivationInt4WeightConfig, but got "
        "Int8WeightOnlyConfig(group_size=None)"
    )
    for damping in (0, -1, float("nan")):
        with pytest.raises(ValueError) as error:
            gptq(linear, [x], damping=damping)
        assert str(error.value) == f"gptq: damping must be above 0, but got {damping!r}"
    with pytest.raises(ValueError) as error:
        gptq(linear, [])
    assert str(error.value) == "gptq: calibration_inputs must not be empty"
    x[1, 2] = float("inf")
    model = nn.Sequential(nn.Linear(8, 8), linear)
    with pytest.raises(ValueError) as error:
        gptq(model, [x])
    assert str(error.value) == "gptq: the inputs of 0 must be finite, but got NaN or Inf"
    assert type(model[0]) is nn.Linear and not model[0]._forward_pre_hooks
