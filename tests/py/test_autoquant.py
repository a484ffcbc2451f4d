"""autoquant: what it measures, chooses, shows, saves and applies again. The times are made up, but for the tests of timing."""

import copy
import sys
import time

import pytest
import torch
import torchao_ops
from torch import nn
from torchao_ops import (
    AutoquantReport,
    Int4Linear,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8Linear,
    Int8WeightOnlyConfig,
    NF4WeightOnlyConfig,
    apply_autoquant,
    autoquant,
    quantize_,
)
from torchao_ops._timing import fastest_seconds

MODULE = sys.modules["torchao_ops.autoquant"]

pytestmark = pytest.mark.usefixtures("device")

INT4, INT8, INT8_DYNAMIC = (
    Int4WeightOnlyConfig(group_size=32),
    Int8WeightOnlyConfig(),
    Int8DynamicActivationInt8WeightConfig(),
)


class MadeUpTimes:
    """In place of fastest_seconds: the time of a config, in microseconds, times the number of rows if it is dense."""

    def __init__(self, **microseconds: float) -> None:
        self._microseconds = {
            torchao_ops.config.config_from_alias(k): v for k, v in microseconds.items() if k != "dense"
        }
        self._dense = microseconds["dense"]
        self.asked: list[tuple[torch.Size, int, bool]] = []

    def __call__(self, layers, x, cold, seconds_each):
        self.asked.append((layers[None].weight.shape, len(x), cold))
        return {
            config: 1e-6 * (self._dense * len(x) if config is None else self._microseconds.get(config, 1000))
            for config in layers
        }


@pytest.fixture
def times(monkeypatch):
    def make_up(**microseconds: float) -> MadeUpTimes:
        made_up = MadeUpTimes(**microseconds)
        monkeypatch.setattr(MODULE, "fastest_seconds", made_up)
        return made_up

    return make_up


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 64)).eval()


def types(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules() if isinstance(module, nn.Linear)]


def test_the_fastest_is_chosen(times):
    times(dense=10, int8wo=3, int8dq=2)
    model = autoquant(small_model(), torch.randn(5, 64))
    assert types(model) == [Int8Linear, Int8Linear]
    assert model[0].config == INT8_DYNAMIC


def test_dense_stays_where_it_is_fastest(times):
    times(dense=1, int8wo=30)
    model = autoquant(small_model(), torch.randn(5, 64))
    assert types(model) == [nn.Linear, nn.Linear]
    assert model.autoquant_report.layers["0"].config is None


def test_the_error_of_each_layers_own_weight_decides(times):
    made_up = times(dense=10, **{"int4wo": 1, "int8wo": 2})
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)).eval()
    with torch.no_grad():
        # Exact in int4: 15 levels of 1 from -7 on.
        model[1].weight.copy_(torch.arange(64 * 64).reshape(64, 64) % 16 - 7)
    candidates = ["int4wo", "int8wo"]
    report = autoquant(model, torch.randn(5, 64), max_error=0.02, candidates=candidates).autoquant_report
    assert types(model) == [Int8Linear, Int4Linear]
    assert len(made_up.asked) == 1  # layers of equal shape are timed once
    dense, int4, int8 = report.layers["0"].trials
    assert (dense.error, dense.seconds) == (None, pytest.approx(50e-6))
    assert 0.02 < int4.error < 0.3 and int8.error < 0.02
    dense, int4, int8 = report.layers["1"].trials
    assert int4.error < 1e-6 and int8.error is None
    # Without a floor to speak of, the first takes int4 as well.
    other = nn.Sequential(nn.Linear(64, 64)).eval()
    assert types(autoquant(other, torch.randn(5, 64), max_error=1, candidates=candidates)) == [Int4Linear]


def test_the_error_is_that_of_the_output(times):
    times(dense=10, int8wo=1)
    model = nn.Sequential(nn.Linear(64, 96)).eval()
    x, dense = torch.randn(5, 64), copy.deepcopy(model)
    report = autoquant(model, x, candidates=["int8wo"]).autoquant_report
    expected, got = dense(x), model(x)
    assert report.layers["0"].trials[1].error == pytest.approx(((got - expected).norm() / expected.norm()).item(), 1e-3)


def test_the_sum_over_all_calls_counts(times):
    """int8 takes 5 us at any number of rows, dense 1 us a row."""
    made_up = times(dense=1, int8wo=5)
    few, many = torch.randn(1, 3, 64), torch.randn(40, 64)
    assert types(autoquant(nn.Sequential(nn.Linear(64, 64)), [few], candidates=["int8wo"])) == [nn.Linear]
    model = autoquant(nn.Sequential(nn.Linear(64, 64)), [few, many, few], candidates=["int8wo"])
    assert types(model) == [Int8Linear]
    assert [rows for _, rows, _ in made_up.asked] == [3, 3, 40]
    choice = model.autoquant_report.layers["0"]
    assert choice.calls == {3: 2, 40: 1}
    assert [trial.seconds for trial in choice.trials] == pytest.approx([46e-6, 15e-6])


def test_tensor_tuple_and_mapping_are_one_call(times):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 64)

        def forward(self, a, b):
            return self.linear(input=a + b)

    times(dense=10, int8wo=1)
    a, b = torch.randn(3, 64), torch.randn(3, 64)
    for inputs in ((a, b), {"a": a, "b": b}, [(a, b), {"b": b, "a": a}]):
        assert types(autoquant(Sum(), inputs)) == [Int8Linear]


def test_a_layer_whose_error_is_no_number_stays_dense(times):
    times(dense=10, int8wo=1)
    x = torch.randn(5, 64)
    x[2, 3] = float("nan")
    assert types(autoquant(small_model(), x)) == [nn.Linear, nn.Linear]


def test_zeros_are_no_error(times):
    times(dense=10, int8wo=1)
    assert types(autoquant(nn.Sequential(nn.Linear(64, 8, bias=False)), torch.zeros(5, 64))) == [Int8Linear]


def test_layers_that_share_a_weight_get_one_format(times):
    times(dense=10, int8wo=1)
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)).eval()
    model[1].weight = model[0].weight
    report = autoquant(model, torch.randn(5, 64)).autoquant_report
    assert model[0].weight_codes is model[1].weight_codes
    assert report.layers["0"].calls == report.layers["1"].calls == {5: 2}


def test_what_is_not_reached_or_filtered_out_stays(times):
    times(dense=10, int8wo=1)
    model = small_model()
    model.unused = nn.Linear(64, 8)
    model.forward = lambda x: model[2](model[1](model[0](x)))
    report = autoquant(model, torch.randn(5, 64), filter_fn=lambda layer, name: name != "0").autoquant_report
    assert types(model) == [nn.Linear, Int8Linear, nn.Linear]
    assert list(report.layers) == ["2"]
    assert report.not_reached == ("unused",)
    assert "Not reached by the example inputs, left dense: unused" in str(report)


def test_hooks_and_modes_are_left_alone(times):
    times(dense=10, int8wo=1)
    model = small_model().train()
    model[1].eval()
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(module.training))
    autoquant(model, torch.randn(5, 64))
    assert seen == [False]
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    assert not model[2]._forward_pre_hooks
    assert not any(buffer.is_inference() or buffer.requires_grad for buffer in model.buffers())


def test_a_format_that_cannot_be_used_is_shown_and_not_chosen(times, monkeypatch):
    def fails(weight, config):
        raise RuntimeError("int8_quantize: x must be on cpu\nand more")

    times(dense=10, int4wo=2)
    monkeypatch.setattr(Int8Linear, "quantize_weight", staticmethod(fails))
    model = autoquant(small_model(), torch.randn(5, 64), max_error=1)
    assert types(model) == [Int4Linear, Int4Linear]
    trial = next(trial for trial in model.autoquant_report.layers["0"].trials if trial.config == INT8)
    assert (trial.seconds, trial.problem) == (None, "int8_quantize: x must be on cpu")
    assert "int8_quantize: x must be on cpu" in str(model.autoquant_report)


def test_smoothed_layers_are_taken(times):
    times(dense=10, int8dq=1)
    model = small_model()
    x = torch.randn(5, 64)
    torchao_ops.smoothquant(model, [x])
    dense = copy.deepcopy(model)
    autoquant(model, x)
    assert types(model) == [Int8Linear, Int8Linear]
    assert (model(x) - dense(x)).norm() < 0.05 * dense(x).norm()


def test_every_config_is_a_candidate(times):
    times(dense=10)
    report = autoquant(small_model(), torch.randn(5, 64)).autoquant_report
    tried = [trial.config for trial in report.layers["0"].trials]
    assert {None, INT4, INT8, INT8_DYNAMIC, Int4WeightOnlyConfig(128), NF4WeightOnlyConfig()} < set(tried)
    assert {type(config) for config in tried} == {type(None), *torchao_ops.linear.config_classes()}


def test_the_table_says_what_and_why(times):
    times(dense=10, int4wo=1, int8wo=2, int8dq=4)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(64, 96), nn.Linear(96, 64)) for _ in range(3)))
    candidates = ["int4wo", "int8wo", "int8dq"]
    shown = str(autoquant(model, torch.randn(5, 64), max_error=0.02, candidates=candidates).autoquant_report)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    assert [line[0] for line in lines if line[0]] == ["*.0 (3)", "*.1 (3)"]
    first = [line[-5:] for line in lines[:4]]
    assert lines[0][1:3] == ["96 x 64 float32", "5"]
    assert [line[0] for line in first] == ["int4wo-128", "int8wo", "int8dq", "dense"]
    assert [line[1:3] for line in first] == [["1", "50.00"], ["2", "25.00"], ["4", "12.50"], ["50", "1.00"]]
    assert [line[4] for line in first] == ["error too large", "chosen", "slower", "slower"]
    assert 0.05 < float(first[0][3]) < 0.2 and first[2][3] == "-"


def test_a_report_is_saved_and_applied_again(times, tmp_path):
    times(dense=10, int8wo=1, **{"int4wo-32": 0.5})
    torch.manual_seed(3)

    def three_layers() -> nn.Sequential:
        return nn.Sequential(*small_model(), nn.Linear(64, 64))

    x, model = torch.randn(5, 64), three_layers()
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(96 * 64).view(96, 64) % 16 - 7)  # 4 bits lose nothing of it
    other, dense = copy.deepcopy(model), copy.deepcopy(model)
    options = {"candidates": ["int8wo", INT4], "max_error": 0.05, "filter_fn": lambda layer, name: name != "3"}
    report = autoquant(model, x, **options).autoquant_report
    assert types(model) == [Int4Linear, Int8Linear, nn.Linear]
    report.save(tmp_path / "choice.json")
    assert AutoquantReport.load(tmp_path / "choice.json") == report

    apply_autoquant(other, tmp_path / "choice.json")
    assert types(other) == types(model)
    assert torch.equal(other(x), model(x))
    assert not hasattr(other, "autoquant_report")

    with torch.device("meta"):
        empty = three_layers()
    apply_autoquant(empty, report)
    empty.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(empty(x), model(x))

    compiled = torch.compile(dense, backend="eager")
    apply_autoquant(compiled, report)
    assert torch.equal(compiled(x), model(x))


def test_a_report_of_another_model_is_an_error(times):
    times(dense=10, int8wo=1)
    report = autoquant(small_model(), torch.randn(5, 64)).autoquant_report
    for other, has in ((nn.Sequential(nn.Linear(64, 32)), "[32, 64]"), (nn.ReLU(), "none of that name")):
        with pytest.raises(ValueError) as error:
            apply_autoquant(other, report)
        assert str(error.value) == f"apply_autoquant: 0 must be a linear layer [96, 64], but the model has {has}"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"layers": {"0": {"config": {"type": "Int5Config"}}}}'])
def test_a_file_that_is_no_report_is_an_error(text, tmp_path):
    (tmp_path / "choice.json").write_text(text)
    with pytest.raises(ValueError, match="choice.json must be what AutoquantReport.save wrote, but got"):
        apply_autoquant(small_model(), tmp_path / "choice.json")


def test_wrong_arguments():
    x = torch.randn(5, 64)
    with pytest.raises(ValueError) as error:
        autoquant(small_model(), x, max_error=0)
    assert str(error.value) == "autoquant: max_error must be above 0, but got 0"
    with pytest.raises(TypeError) as error:
        autoquant(small_model(), x, candidates=[8])
    assert str(error.value) == "autoquant: candidates must be configs or alias strings, but got 8"
    with pytest.raises(ValueError, match="config must be one of"):
        autoquant(small_model(), x, candidates=["int5"])
    with pytest.raises(ValueError) as error:
        autoquant(nn.ReLU(), x)
    assert str(error.value) == (
        "autoquant: example_inputs must reach a linear layer that quantize_ converts, but reach none"
    )


def test_without_inputs_the_first_call_chooses(times):
    times(dense=10, int8wo=1)
    model = small_model()
    assert autoquant(model) is model
    copied = copy.deepcopy(model)
    x = torch.randn(5, 64)
    y = copied(x)
    assert types(copied) == [Int8Linear, Int8Linear] and types(model) == [nn.Linear, nn.Linear]
    assert torch.equal(copied(x), y)
    assert copied.autoquant_report.layers["0"].calls == {5: 1}
    model(x.unsqueeze(0))
    assert types(model) == [Int8Linear, Int8Linear]
    assert not model._forward_pre_hooks and not copied._forward_pre_hooks


@pytest.mark.parametrize("inputs_given", [False, True])
@pytest.mark.parametrize("compile_first", [False, True])
def test_with_compile(times, inputs_given, compile_first):
    times(dense=10, int8wo=1)
    torch._dynamo.reset()
    model, x = small_model(), torch.randn(5, 64)
    inputs = x if inputs_given else None
    if compile_first:
        compiled = autoquant(torch.compile(model, backend="aot_eager", fullgraph=True), inputs)
    else:
        compiled = torch.compile(autoquant(model, inputs), backend="aot_eager", fullgraph=inputs_given)
    y = compiled(x)
    assert types(model) == [Int8Linear, Int8Linear]
    torch.testing.assert_close(y, model(x))
    torch.testing.assert_close(compiled(x), y)
    # By their names in the model, which the compiled one is around.
    assert compiled.autoquant_report.layers.keys() == {"0", "2"}


def test_with_max_autotune(times, device):
    if device == "cuda":
        pytest.skip("Inductor compiles for CUDA with Python.h, which need not be installed")
    times(dense=10, int8wo=1)
    torch._dynamo.reset()
    model, x = nn.Sequential(nn.Linear(64, 64)), torch.randn(5, 64)
    compiled = autoquant(torch.compile(model, mode="max-autotune", fullgraph=True))
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x))
    assert types(model) == [Int8Linear]


def test_with_real_times():
    model = small_model()
    report = autoquant(model, torch.randn(5, 64)).autoquant_report
    for choice in report.layers.values():
        assert all(0 < trial.seconds < 1 for trial in choice.trials)
        by_time = sorted(choice.trials, key=lambda trial: trial.seconds)
        passed = [trial for trial in by_time if trial.config is None or (trial.error or 0) <= report.max_error]
        assert choice.config == passed[0].config
    assert types(model) == [
        nn.Linear if c.config is None else type(m) for c, m in zip(report.layers.values(), model[::2])
    ]
    assert not report.weights_cold


class Sleeps(nn.Module):
    calls = 0

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.weight = nn.Parameter(torch.zeros(1 << 18))

    def forward(self, x):
        Sleeps.calls += 1
        self.used = True
        time.sleep(self.seconds)
        return x


@pytest.mark.parametrize("cold", [False, True])
def test_times_are_those_of_the_calls(cold, monkeypatch):
    monkeypatch.setattr("torchao_ops._timing.last_level_cache_bytes", lambda device: 2 << 20)
    copies = []
    monkeypatch.setattr(
        "torchao_ops._timing.copy.deepcopy", lambda layer: copies.append(layer) or Sleeps(layer.seconds)
    )
    seconds = fastest_seconds({"a": Sleeps(0.002), "b": Sleeps(0.02)}, torch.zeros(1, device="cpu"), cold, 0.1)
    assert 0.002 <= seconds["a"] < 0.01 and 0.02 <= seconds["b"] < 0.1
    # Two layers of 1 MiB and a cache of 2 MiB: 2.5 times that are 3 copies of each, the layer itself among them.
    assert len(copies) == (4 if cold else 0)


def test_a_tiny_layer_is_not_copied_without_end(monkeypatch):
    copies = []
    monkeypatch.setattr("torchao_ops._timing.copy.deepcopy", lambda layer: copies.append(layer) or layer)
    fastest_seconds({"a": nn.Linear(2, 2, device="cpu")}, torch.zeros(1, 2, device="cpu"), True, 0.0)
    assert len(copies) == 63


def test_a_slow_layer_is_not_called_for_long():
    Sleeps.calls = 0
    begin = time.monotonic()
    fastest_seconds({"a": Sleeps(0.001), "b": Sleeps(0.1)}, torch.zeros(1, device="cpu"), False, 0.2)
    assert time.monotonic() - begin < 3
    assert Sleeps.calls > 50


def test_a_quantized_layer_is_left_as_it_is(times):
    times(dense=10, int8wo=1)
    model = small_model()
    quantize_(model, INT4, lambda layer, name: name == "0")
    autoquant(model, torch.randn(5, 64))
    assert types(model) == [Int4Linear, Int8Linear]


@pytest.mark.parametrize(
    "config, name",
    [
        (Int4WeightOnlyConfig(), "int4wo-128"),
        (Int8WeightOnlyConfig(), "int8wo"),
        (Int8WeightOnlyConfig(64), "int8wo-64"),
        (INT8_DYNAMIC, "int8dq"),
        (
            Int4WeightOnlyConfig(symmetric=True),
            "Int4WeightOnlyConfig(group_size=128, symmetric=True, qparams='minmax')",
        ),
    ],
)
def test_names_of_configs(config, name):
    assert torchao_ops.config.alias_of(config) == name
