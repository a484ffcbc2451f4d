"""quantize_ on whole models: what is converted, what stays tied, configs and their names."""

import copy

import pytest
import reference
import torch
import torchao_ops
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode
from torchao_ops import (
    Float8DynamicActivationFloat8WeightConfig,
    Float8WeightOnlyConfig,
    Int4Linear,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt4WeightConfig,
    Int8DynamicActivationInt8SemiSparseWeightConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    NF4WeightOnlyConfig,
    PerTensor,
    QuantLinear,
    SemiSparseWeightConfig,
    model_size,
    quantize_,
)

pytestmark = [
    pytest.mark.usefixtures("device"),
    pytest.mark.filterwarnings("ignore:.*a weight was not 2.4 sparse"),
]

CONFIG = Int4WeightOnlyConfig(group_size=32)


class CalledOperators(TorchDispatchMode):
    """The names of the torchao operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "torchao":
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **kwargs or {})


def called_operators(model: nn.Module, *inputs: torch.Tensor) -> list[str]:
    with torch.no_grad(), CalledOperators() as called:
        model(*inputs)
    return called.names


def quantized_names(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, QuantLinear)}


def test_every_linear_layer_is_converted_in_place():
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32)))
    layers = list(model.modules())
    assert quantize_(model, CONFIG) is None
    assert quantized_names(model) == {"0", "2.0"}
    assert list(model.modules()) == layers


def test_a_model_that_is_one_linear_layer():
    model = nn.Linear(64, 32)
    quantize_(model, CONFIG)
    assert isinstance(model, Int4Linear)
    assert model(torch.randn(2, 64)).shape == (2, 32)


def test_filter_fn_sees_module_and_name_and_decides():
    model = nn.ModuleDict({"encoder": nn.Linear(64, 64), "head": nn.Linear(64, 8), "norm": nn.LayerNorm(8)})
    asked = []

    def only_encoder(module: nn.Module, name: str) -> bool:
        asked.append((module, name))
        return name.startswith("encoder")

    quantize_(model, CONFIG, only_encoder)
    assert asked == [(model["encoder"], "encoder"), (model["head"], "head")]
    assert quantized_names(model) == {"encoder"}


def test_a_second_time_changes_nothing():
    model = nn.Sequential(nn.Linear(64, 64))
    quantize_(model, CONFIG)
    state = copy.deepcopy(model.state_dict())
    quantize_(model, Int4WeightOnlyConfig(group_size=8))
    assert model[0].group_size == 32
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_hooks_attributes_and_mode_stay():
    model = nn.Sequential(nn.Linear(64, 8)).eval()
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model[0].note = "mine"
    quantize_(model, CONFIG)
    model(torch.randn(3, 64))
    assert seen == [(3, 8)]
    assert model[0].note == "mine"
    assert not model[0].training


def test_a_module_in_two_places_is_converted_once():
    shared = nn.Linear(64, 64)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    quantize_(model, CONFIG)
    assert model[0] is model[2] is shared
    assert model_size(model) == 64 * 32 + 2 * (64 * 2 * 4) + 64 * 4


def test_layers_that_share_a_weight_share_the_quantized_one():
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    model[1].weight = model[0].weight
    quantize_(model, CONFIG)
    for name in ("weight_packed", "weight_scale", "weight_zero_point"):
        assert getattr(model[0], name) is getattr(model[1], name)
    assert model[0].bias is not model[1].bias
    model.half()
    assert model[0].weight_packed is model[1].weight_packed


def test_a_head_tied_to_an_embedding_stays_tied():
    model = nn.Sequential(nn.Embedding(100, 64), nn.Linear(64, 64), nn.Linear(64, 100))
    model[2].weight = model[0].weight
    quantize_(model, CONFIG)
    assert quantized_names(model) == {"1"}
    assert model[2].weight is model[0].weight


def test_layers_that_share_a_weight_with_one_that_is_filtered_out_stay():
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    model[1].weight = model[0].weight
    quantize_(model, CONFIG, lambda module, name: name == "0")
    assert quantized_names(model) == set()


def test_layers_that_compute_something_else_stay():
    class Scaled(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    class Initialized(nn.Linear):
        def reset_parameters(self):
            nn.init.ones_(self.weight)

    model = nn.ModuleDict(
        {
            "scaled": Scaled(64, 64),
            "initialized": Initialized(64, 64, bias=False),
            "weight_norm": parametrizations.weight_norm(nn.Linear(64, 64)),
            "bilinear": nn.Bilinear(64, 64, 8),
        }
    )
    quantize_(model, CONFIG)
    assert quantized_names(model) == {"initialized"}


def test_a_lazy_layer_is_an_error():
    with pytest.raises(RuntimeError) as error:
        quantize_(nn.Sequential(nn.LazyLinear(8)), CONFIG)
    assert str(error.value) == (
        "quantize_: 0.weight must be initialized, but got a lazy module: run the model once before"
    )


def test_a_weight_of_a_wrong_dtype_is_an_error():
    with pytest.raises(RuntimeError) as error:
        quantize_(nn.Linear(64, 8, dtype=torch.float64), CONFIG)
    assert str(error.value) == "int4_quantize: weight must be float32, float16 or bfloat16, but got float64"


@pytest.mark.parametrize("batch_first", [False, True])
def test_multihead_attention_keeps_its_output_projection(batch_first):
    """MultiheadAttention reads out_proj.weight itself instead of calling out_proj."""
    attention = nn.MultiheadAttention(64, 4, batch_first=batch_first).eval()
    model = nn.ModuleDict({"attention": attention, "head": nn.Linear(64, 8)})
    x = torch.randn(3, 5, 64)
    expected = attention(x, x, x)[0]
    quantize_(model, CONFIG)
    assert quantized_names(model) == {"head"}
    assert torch.equal(attention(x, x, x)[0], expected)


@pytest.mark.parametrize(
    "config, operator",
    [
        ("int4wo-32", "int4_mm"),
        ("8da4w-32", "int4_dynamic_mm"),
        ("int8wo", "int8_mm"),
        ("int8dq", "int8_dynamic_mm"),
        ("nf4", "nf4_mm"),
        ("sparse24", "sparse24_mm"),
        ("int8dq_sparse24", "sparse24_dynamic_mm"),
        ("float8wo", "fp8_mm"),
        ("float8dq", "fp8_dynamic_mm"),
    ],
)
@pytest.mark.parametrize("with_padding", [False, True])
def test_transformer_layers_call_the_quantized_layers(config, operator, with_padding):
    """Their fused inference path would read the weights, dequantizing them at every call."""
    layer = nn.TransformerEncoderLayer(64, 4, dim_feedforward=128, batch_first=True)
    model = nn.TransformerEncoder(layer, num_layers=2).eval()
    x = torch.randn(3, 5, 64)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = with_padding
    expected = model(x, None, padding)
    quantize_(model, config)
    assert called_operators(model, x, None, padding) == 4 * [operator]
    y = model(x, None, padding)
    # Half of the weights are a large part of them.
    assert reference.relative_error(y[~padding], expected[~padding]) < (0.5 if "sparse24" in config else 0.2)


def test_model_size_counts_shared_storage_once():
    model = nn.Sequential(nn.Linear(10, 6), nn.Linear(10, 6), nn.BatchNorm1d(6))
    dense = 2 * (10 * 6 + 6) * 4
    norm = 4 * 6 * 4 + 8
    assert model_size(model) == dense + norm
    model[1].weight = model[0].weight
    assert model_size(model) == dense + norm - 10 * 6 * 4
    model.register_buffer("view", model[0].weight.detach()[2:4])
    assert model_size(model) == dense + norm - 10 * 6 * 4
    assert model_size(nn.ReLU()) == 0


def test_model_size_of_a_quantized_layer():
    model = nn.Linear(384, 384, bias=False)
    quantize_(model, Int4WeightOnlyConfig(group_size=256))
    assert model_size(model) == 384 * 192 + 2 * 384 * 2 * 4
    symmetric = nn.Linear(384, 384, bias=False).bfloat16()
    quantize_(symmetric, Int4WeightOnlyConfig(group_size=32, symmetric=True))
    assert model_size(symmetric) == 384 * 192 + 384 * 12 * 2
    int8 = nn.Linear(384, 384, bias=False)
    quantize_(int8, Int8WeightOnlyConfig())
    assert model_size(int8) == 384 * 384 + 384 * 4
    sparse24 = nn.Linear(384, 384, bias=False).bfloat16()
    quantize_(sparse24, SemiSparseWeightConfig())
    assert model_size(sparse24) == 384 * 384 * 2 * 9 // 16
    nf4 = nn.Linear(384, 384, bias=False)
    quantize_(nf4, NF4WeightOnlyConfig())
    blocks = 384 * 384 // 64
    assert model_size(nf4) == 384 * 192 + blocks + blocks // 256 * 4 + 256 * 4 + 4


@pytest.mark.parametrize(
    "alias, config",
    [
        ("int4wo", Int4WeightOnlyConfig(group_size=128)),
        ("int4wo-32", Int4WeightOnlyConfig(group_size=32)),
        ("int4_weight_only", Int4WeightOnlyConfig()),
        ("int4_weight_only-64", Int4WeightOnlyConfig(group_size=64)),
        ("int8_dynamic_activation_int4_weight", Int8DynamicActivationInt4WeightConfig(group_size=32)),
        ("int8_dynamic_activation_int4_weight-128", Int8DynamicActivationInt4WeightConfig(group_size=128)),
        ("8da4w", Int8DynamicActivationInt4WeightConfig()),
        ("int8wo", Int8WeightOnlyConfig()),
        ("int8wo-32", Int8WeightOnlyConfig(group_size=32)),
        ("int8_weight_only", Int8WeightOnlyConfig(group_size=None)),
        ("int8_weight_only-64", Int8WeightOnlyConfig(group_size=64)),
        ("int8dq", Int8DynamicActivationInt8WeightConfig()),
        ("int8_dynamic_activation_int8_weight", Int8DynamicActivationInt8WeightConfig()),
        ("nf4", NF4WeightOnlyConfig()),
        ("nf4-128", NF4WeightOnlyConfig(block_size=128)),
        ("sparse24", SemiSparseWeightConfig()),
        ("semi_sparse_weight", SemiSparseWeightConfig()),
        ("int8dq_sparse24", Int8DynamicActivationInt8SemiSparseWeightConfig()),
        ("int8_dynamic_activation_int8_semi_sparse_weight", Int8DynamicActivationInt8SemiSparseWeightConfig()),
        ("float8wo", Float8WeightOnlyConfig()),
        ("float8_weight_only", Float8WeightOnlyConfig()),
        ("float8dq", Float8DynamicActivationFloat8WeightConfig()),
        ("float8_dynamic_activation_float8_weight", Float8DynamicActivationFloat8WeightConfig()),
    ],
)
def test_short_names_of_configs(alias, config):
    by_name, by_config = nn.Linear(64, 8), nn.Linear(64, 8)
    by_config.load_state_dict(by_name.state_dict())
    quantize_(by_name, alias)
    quantize_(by_config, config)
    assert repr(by_name) == repr(by_config)
    # torch.equal does not know 8-bit floating-point numbers.
    assert all((tensor == by_config.state_dict()[key]).all() for key, tensor in by_name.state_dict().items())


@pytest.mark.parametrize(
    "alias", ["int5wo", "int4wo-", "int4wo--1", "int4wo-x", "int4wo-32-32", "int4wo ", "", "-32", "int8dq-32"]
)
def test_an_unknown_name_lists_the_known_ones(alias):
    with pytest.raises(ValueError) as error:
        quantize_(nn.Linear(64, 8), alias)
    assert str(error.value) == (
        'config must be one of "int4wo-<group_size>", "int4_weight_only-<group_size>", "8da4w-<group_size>", '
        '"int8_dynamic_activation_int4_weight-<group_size>", "int8wo-<group_size>", "int8_weight_only-<group_size>", '
        '"int8dq", "int8_dynamic_activation_int8_weight", "nf4-<block_size>", "sparse24", "semi_sparse_weight", '
        '"int8dq_sparse24", "int8_dynamic_activation_int8_semi_sparse_weight", "float8wo", "float8_weight_only", '
        '"float8dq", "float8_dynamic_activation_float8_weight", where the part after - may be left out, '
        f"but got {alias!r}"
    )


def test_something_else_than_a_config():
    for wrong in (32, None, Int4WeightOnlyConfig):
        with pytest.raises(TypeError) as error:
            quantize_(nn.Linear(64, 8), wrong)
        assert str(error.value) == (
            "config must be an alias string or one of Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig, "
            "Int8WeightOnlyConfig, Int8DynamicActivationInt8WeightConfig, NF4WeightOnlyConfig, SemiSparseWeightConfig, "
            "Int8DynamicActivationInt8SemiSparseWeightConfig, Float8WeightOnlyConfig, "
            f"Float8DynamicActivationFloat8WeightConfig, but got {wrong!r}"
        )


@pytest.mark.parametrize(
    "config_class", [Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig, Int8WeightOnlyConfig]
)
def test_wrong_group_sizes(config_class):
    name = config_class.__name__
    for wrong in (0, -32):
        with pytest.raises(ValueError) as error:
            config_class(group_size=wrong)
        assert str(error.value) == f"{name}: group_size must be at least 1, but got {wrong}"
    # To int8, None is one scale a row.
    for wrong in (32.0, "32", True) if config_class is Int8WeightOnlyConfig else (32.0, "32", True, None):
        with pytest.raises(TypeError) as error:
            config_class(group_size=wrong)
        assert str(error.value) == f"{name}: group_size must be an int, but got {wrong!r}"
    with pytest.raises(ValueError, match="group_size must be at least 1, but got 0"):
        quantize_(nn.Linear(64, 8), "int4wo-0")


def test_wrong_block_sizes():
    for wrong in (16, 48, 100):
        with pytest.raises(ValueError) as error:
            NF4WeightOnlyConfig(block_size=wrong)
        assert str(error.value) == f"NF4WeightOnlyConfig: block_size must be a power of two from 32 on, but got {wrong}"
    with pytest.raises(TypeError) as error:
        NF4WeightOnlyConfig(block_size=64.0)
    assert str(error.value) == "NF4WeightOnlyConfig: block_size must be an int, but got 64.0"


def test_large_models_show_progress_and_small_ones_do_not(monkeypatch):
    bars = []

    class Bar(torchao_ops.quantize.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append(kwargs | {"bar": self})

    monkeypatch.setattr(torchao_ops.quantize, "tqdm", Bar)
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 8))
    weight_bytes = sum(layer.weight.nbytes for layer in model)
    quantize_(copy.deepcopy(model), CONFIG)
    monkeypatch.setattr(torchao_ops.quantize, "_PROGRESS_BAR_MIN_BYTES", weight_bytes)
    quantize_(model, CONFIG)
    small, large = bars
    assert small["disable"] is True
    # None: tqdm shows it where there is a terminal.
    assert large["disable"] is None
    assert large["total"] == weight_bytes


def test_fields_of_float8_configs():
    with pytest.raises(TypeError) as error:
        Float8WeightOnlyConfig("row")
    assert str(error.value) == (
        "Float8WeightOnlyConfig: granularity must be PerTensor(), PerRow() or PerBlock(), but got 'row'"
    )
    with pytest.raises(ValueError) as error:
        Float8DynamicActivationFloat8WeightConfig(PerTensor(), torch.float16)
    assert str(error.value) == (
        "Float8DynamicActivationFloat8WeightConfig: weight_dtype must be torch.float8_e4m3fn or torch.float8_e5m2, but got "
        "torch.float16"
    )
