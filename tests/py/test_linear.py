"""QuantLinear as a module: what it computes, shows, saves, loads, copies and converts."""

import copy
import io
import pickle

import pytest
import reference
import torch
from helpers import FLOAT_DTYPES
from safetensors.torch import load_file, save_file
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
    PerBlock,
    PerTensor,
    QuantLinear,
    SemiSparseWeightConfig,
    Sparse24Linear,
    fp8_dequantize,
    fp8_dynamic_mm,
    fp8_mm,
    fp8_quantize,
    int4_dequantize,
    int4_dynamic_mm,
    int4_mm,
    int8_dequantize,
    int8_dynamic_mm,
    int8_mm,
    linear_nf4,
    quantize_,
    sparse24_compress,
    sparse24_dynamic_mm,
    sparse24_mm,
    sparse24_prune,
    to_nf4,
)

pytestmark = [
    pytest.mark.usefixtures("device"),
    pytest.mark.filterwarnings("ignore:.*a weight was not 2.4 sparse"),
]

INT4_CONFIGS = [
    Int4WeightOnlyConfig(group_size=32),
    Int4WeightOnlyConfig(group_size=32, symmetric=True),
    Int8DynamicActivationInt4WeightConfig(group_size=32),
]
INT8_CONFIGS = [Int8WeightOnlyConfig(), Int8WeightOnlyConfig(group_size=32), Int8DynamicActivationInt8WeightConfig()]
NF4_CONFIGS = [NF4WeightOnlyConfig(), NF4WeightOnlyConfig(block_size=32, double_quant=False)]
SPARSE24_CONFIGS = [SemiSparseWeightConfig(), Int8DynamicActivationInt8SemiSparseWeightConfig()]
FP8_CONFIGS = [
    Float8WeightOnlyConfig(),
    Float8WeightOnlyConfig(PerTensor(), torch.float8_e5m2),
    Float8DynamicActivationFloat8WeightConfig(PerBlock()),
]
CONFIGS = INT4_CONFIGS + INT8_CONFIGS + NF4_CONFIGS + SPARSE24_CONFIGS + FP8_CONFIGS


def is_dynamic(config) -> bool:
    return isinstance(
        config,
        Int8DynamicActivationInt4WeightConfig
        | Int8DynamicActivationInt8WeightConfig
        | Int8DynamicActivationInt8SemiSparseWeightConfig
        | Float8DynamicActivationFloat8WeightConfig,
    )


def largest_error(config) -> float:
    """Rounding normal weights to 4 bits costs about a tenth of the norm; to 8 bits, weights and perhaps activations, a hundredth. The smaller
    two of four uniformly distributed weights are sqrt(0.2) of the norm."""
    if config in SPARSE24_CONFIGS:
        return 0.5
    if (
        config in FP8_CONFIGS
    ):  # 2 bits after the point are off by up to an eighth, 5 % on average; 3 bits by half of that
        return 0.06
    return 0.02 if config in INT8_CONFIGS else 0.12


def code_name(config) -> str:
    if config in SPARSE24_CONFIGS:
        return "weight_bitmask"
    return "weight_codes" if config in INT8_CONFIGS + FP8_CONFIGS else "weight_packed"


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """torch.equal, which does not know 8-bit floating-point numbers."""
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())


def buffer_names(config) -> set[str]:
    if config in SPARSE24_CONFIGS:
        return {"weight_values", "weight_bitmask"} | ({"weight_scale"} if is_dynamic(config) else set())
    if config in NF4_CONFIGS:
        nested = {"weight_absmax_code", "weight_nested_absmax", "weight_absmax_offset"}
        return {"weight_packed", "weight_absmax"} | (nested if config.double_quant else set())
    has_zero_point = config in INT4_CONFIGS and not config.symmetric
    return {code_name(config), "weight_scale"} | ({"weight_zero_point"} if has_zero_point else set())


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(70, 48), nn.GELU(), nn.Linear(48, 33, bias=False)).eval()


def quantized_model(config) -> nn.Sequential:
    model = small_model()
    quantize_(model, config)
    return model


@pytest.fixture(params=CONFIGS, ids=str)
def config(request):
    return request.param


@pytest.fixture
def model(config, device):
    return quantized_model(config)


@pytest.fixture
def x(device):
    return torch.randn(5, 70)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("config", INT4_CONFIGS, ids=str)
def test_an_int4_layer_computes_what_its_operator_computes(config, dtype, bias):
    linear = nn.Linear(70, 48, bias=bias, dtype=dtype)
    layer = QuantLinear.from_linear(linear, config)
    assert isinstance(layer, Int4Linear) and isinstance(layer, nn.Linear)
    packed, scale, zero_point = reference.quantize(linear.weight.detach(), 32, config.symmetric)
    if config.symmetric:
        assert layer.weight_zero_point is None
    else:
        assert torch.equal(layer.weight_zero_point.cpu(), zero_point)
    assert torch.equal(layer.weight_packed.cpu(), packed)
    assert torch.equal(layer.weight_scale.cpu(), scale)
    assert layer.bias is linear.bias

    x = torch.randn(2, 3, 70).to(dtype)
    operator = int4_dynamic_mm if is_dynamic(config) else int4_mm
    weight = layer.weight_packed, layer.weight_scale, layer.weight_zero_point
    assert torch.equal(layer(x), operator(x, *weight, 32, linear.bias))
    assert reference.relative_error(layer(x), linear(x)) < largest_error(config)
    assert torch.equal(layer.weight, int4_dequantize(*weight, 32, 70))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("config", INT8_CONFIGS, ids=str)
def test_an_int8_layer_computes_what_its_operator_computes(config, dtype, bias):
    linear = nn.Linear(70, 48, bias=bias, dtype=dtype)
    layer = QuantLinear.from_linear(linear, config)
    assert isinstance(layer, Int8Linear) and isinstance(layer, nn.Linear)
    group_size = getattr(config, "group_size", None) or 0
    codes, scale = reference.int8_quantize(linear.weight.detach(), group_size)
    assert torch.equal(layer.weight_codes.cpu(), codes)
    assert torch.equal(layer.weight_scale.cpu(), scale)
    assert layer.bias is linear.bias

    x = torch.randn(2, 3, 70).to(dtype)
    operator = int8_dynamic_mm if is_dynamic(config) else int8_mm
    weight = layer.weight_codes, layer.weight_scale, group_size
    assert torch.equal(layer(x), operator(x, *weight, linear.bias))
    assert reference.relative_error(layer(x), linear(x)) < largest_error(config)
    assert torch.equal(layer.weight, int8_dequantize(*weight))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("config", NF4_CONFIGS, ids=str)
def test_an_nf4_layer_computes_what_its_operator_computes(config, dtype, bias):
    linear = nn.Linear(70, 48, bias=bias, dtype=dtype)
    layer = QuantLinear.from_linear(linear, config)
    assert isinstance(layer, NF4Linear) and isinstance(layer, nn.Linear)
    weight = to_nf4(linear.weight, config.block_size, 256 if config.double_quant else None)
    assert torch.equal(layer.weight_packed, weight.packed)
    assert torch.equal(layer.weight_absmax, weight.absmax)
    assert layer.weight_absmax.dtype == (torch.uint8 if config.double_quant else torch.float32)
    assert layer.bias is linear.bias

    x = torch.randn(2, 3, 70).to(dtype)
    assert torch.equal(layer(x), linear_nf4(x, weight, linear.bias))
    assert reference.relative_error(layer(x), linear(x)) < largest_error(config)
    assert torch.equal(layer.weight, weight.dequantize())


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("config", SPARSE24_CONFIGS, ids=str)
def test_a_sparse24_layer_computes_what_its_operator_computes(config, dtype, bias):
    linear = nn.Linear(70, 48, bias=bias, dtype=dtype)
    layer = QuantLinear.from_linear(linear, config)
    assert isinstance(layer, Sparse24Linear) and isinstance(layer, nn.Linear)
    dense = linear.weight.detach()
    mask = sparse24_prune(dense)
    kept, scale = torch.where(mask, dense, 0), None
    if is_dynamic(config):
        kept, scale = (tensor.to(dense.device) for tensor in reference.int8_quantize(kept, 0))
    weight = *sparse24_compress(kept, mask), scale
    assert torch.equal(layer.weight_values, weight[0])
    assert torch.equal(layer.weight_bitmask, weight[1])
    assert layer.weight_scale is None if scale is None else torch.equal(layer.weight_scale, scale)
    assert layer.bias is linear.bias

    x = torch.randn(2, 3, 70).to(dtype)
    operator = sparse24_dynamic_mm if is_dynamic(config) else sparse24_mm
    assert torch.equal(layer(x), operator(x, *weight, linear.bias))
    assert reference.relative_error(layer(x), linear(x)) < largest_error(config)
    assert torch.equal(layer.weight, kept if scale is None else kept * scale.unsqueeze(1))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("config", FP8_CONFIGS, ids=str)
def test_an_fp8_layer_computes_what_its_operator_computes(config, dtype, bias):
    linear = nn.Linear(150, 140, bias=bias, dtype=dtype)
    layer = QuantLinear.from_linear(linear, config)
    assert isinstance(layer, Fp8Linear) and isinstance(layer, nn.Linear)
    weight = fp8_quantize(linear.weight.detach(), config.weight_dtype, config.granularity.name)
    assert same(layer.weight_codes, weight[0])
    assert torch.equal(layer.weight_scale, weight[1])
    assert layer.bias is linear.bias

    x = torch.randn(2, 3, 150).to(dtype)
    operator = fp8_dynamic_mm if is_dynamic(config) else fp8_mm
    assert torch.equal(layer(x), operator(x, *weight, linear.bias))
    assert reference.relative_error(layer(x), linear(x)) < largest_error(config)
    assert torch.equal(layer.weight, fp8_dequantize(*weight))


def test_fp8_codes_stay_what_they_are_wherever_the_layer_goes():
    layer = QuantLinear.from_linear(nn.Linear(70, 48), FP8_CONFIGS[0])
    codes = layer.weight_codes
    assert layer.double().weight_codes is codes and layer.weight_scale.dtype == torch.float64
    assert layer.half().weight_codes is codes
    assert layer.to("meta").weight_codes.dtype == codes.dtype


def test_weight_is_the_dequantized_weight(config):
    linear = nn.Linear(70, 48, dtype=torch.bfloat16)
    layer = QuantLinear.from_linear(linear, config)
    assert layer.weight.dtype == torch.bfloat16
    assert not layer.weight.requires_grad
    assert reference.relative_error(layer.weight, linear.weight) < largest_error(config)
    with pytest.raises(AttributeError):
        layer.weight = torch.zeros(48, 70)


def test_from_linear_leaves_the_linear_layer_alone(config):
    linear = nn.Linear(70, 48).eval()
    before = linear.weight.clone()
    assert not QuantLinear.from_linear(linear, config).training
    assert type(linear) is nn.Linear
    assert torch.equal(linear.weight, before)


def test_repr_shows_the_format():
    assert repr(QuantLinear.from_linear(nn.Linear(70, 48), CONFIGS[0])) == (
        "Int4Linear(in_features=70, out_features=48, bias=True, int4, group_size=32, symmetric=False,"
        " dynamic_activations=False)"
    )
    assert repr(QuantLinear.from_linear(nn.Linear(70, 48, bias=False), CONFIGS[1])) == (
        "Int4Linear(in_features=70, out_features=48, bias=False, int4, group_size=32, symmetric=True,"
        " dynamic_activations=False)"
    )
    assert "symmetric=False, dynamic_activations=True)" in repr(QuantLinear.from_linear(nn.Linear(70, 48), CONFIGS[2]))
    int8 = [repr(QuantLinear.from_linear(nn.Linear(70, 48), config)) for config in INT8_CONFIGS]
    assert int8 == [
        f"Int8Linear(in_features=70, out_features=48, bias=True, int8, group_size={group_size}, dynamic_activations={dynamic})"
        for group_size, dynamic in ((None, False), (32, False), (None, True))
    ]
    fp8 = repr(QuantLinear.from_linear(nn.Linear(70, 48), FP8_CONFIGS[2]))
    assert fp8 == (
        "Fp8Linear(in_features=70, out_features=48, bias=True, torch.float8_e4m3fn, granularity=PerBlock(),"
        " dynamic_activations=True)"
    )
    sparse24 = [repr(QuantLinear.from_linear(nn.Linear(70, 48), config)) for config in SPARSE24_CONFIGS]
    assert sparse24 == [
        f"Sparse24Linear(in_features=70, out_features=48, bias=True, sparse24, values={values}, dynamic_activations={dynamic})"
        for values, dynamic in ((torch.float32, False), (torch.int8, True))
    ]


def test_state_dict_is_plain_tensors(model, config):
    names = {f"{layer}.{name}" for layer in (0, 2) for name in buffer_names(config)} | {"0.bias"}
    state = model.state_dict()
    assert set(state) == names
    assert all(type(tensor) in (torch.Tensor, nn.Parameter) for tensor in state.values())
    assert dict(model.named_parameters()).keys() == {"0.bias"}


def test_the_constructor_makes_an_empty_layer_to_load_into(config, x):
    trained = QuantLinear.from_linear(nn.Linear(70, 48), config)
    linear_class = type(trained)
    empty = linear_class(70, 48, config=config)
    empty.load_state_dict(trained.state_dict())
    assert torch.equal(empty(x), trained(x))

    on_meta = linear_class(70, 48, device="meta", dtype=torch.bfloat16, config=config)
    assert on_meta.weight.dtype == on_meta.bias.dtype == torch.bfloat16
    assert on_meta(x.to("meta")).shape == (5, 48)
    on_meta.load_state_dict(trained.state_dict(), assign=True)
    assert torch.equal(on_meta(x), trained(x))

    assert linear_class(70, 48, bias=False, config=config).bias is None


def test_a_model_on_meta_is_filled_by_a_checkpoint(model, config, x):
    with torch.device("meta"):
        empty = small_model()
    quantize_(empty, config)
    empty.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(empty(x), model(x))


def test_a_checkpoint_of_another_format_does_not_load(model, config):
    others = {
        Int4Linear: Int4WeightOnlyConfig(64),
        Int8Linear: Int8WeightOnlyConfig(64),
        NF4Linear: NF4WeightOnlyConfig(64, double_quant=False),
        Sparse24Linear: SPARSE24_CONFIGS[config == SPARSE24_CONFIGS[0]],
        Fp8Linear: FP8_CONFIGS[config == FP8_CONFIGS[0]],
    }
    other = others[type(model[0])]
    scale = "weight_absmax" if config in NF4_CONFIGS else "weight_scale"
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "0.weight"'):
        model.load_state_dict(small_model().state_dict())
    with pytest.raises(
        RuntimeError, match=f"size mismatch for 0.{scale}|Missing key.*weight_absmax_code|key.*0.weight_scale"
    ):
        model.load_state_dict(quantized_model(other).state_dict())


def test_torch_save_and_safe_load(model, config, x, tmp_path):
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = quantized_model(config)
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(loaded(x), model(x))


def test_safetensors(model, config, x, tmp_path, device):
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    for assign in (False, True):
        loaded = quantized_model(config)
        loaded.load_state_dict(load_file(tmp_path / "model.safetensors", device=device), assign=assign)
        assert torch.equal(loaded(x), model(x))


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), copy.copy],
    ids=["deepcopy", "pickle", "copy"],
)
def test_copies_compute_the_same(model, config, x, duplicate, request):
    if config in FP8_CONFIGS and "pickle" in request.node.name:
        pytest.skip("torch pickles no tensors of 8-bit floating-point numbers, except in torch.save")
    copied = duplicate(model)
    assert torch.equal(copied(x), model(x))
    assert repr(copied) == repr(model)


def test_a_whole_module_survives_torch_save(model, x):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), model(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("config", INT4_CONFIGS + INT8_CONFIGS + SPARSE24_CONFIGS[1:] + FP8_CONFIGS, ids=str)
def test_to_a_dtype_converts_the_scales_and_not_the_codes(model, config, x, dtype):
    before = copy.deepcopy(model[0])
    model.to(dtype)
    layer = model[0]
    assert same(getattr(layer, code_name(config)), getattr(before, code_name(config)))
    assert torch.equal(layer.weight_scale, before.weight_scale.to(dtype))
    assert layer.bias.dtype == dtype
    if getattr(layer, "weight_zero_point", None) is not None:
        assert torch.equal(layer.weight_zero_point, before.weight_zero_point.to(dtype))
    y = layer(x.to(dtype))
    assert y.dtype == dtype
    assert reference.relative_error(y, before(x)) < 0.02
    # Activations need not have the dtype of the scales.
    assert layer(x).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_to_a_dtype_converts_the_values_of_a_sparse24_weight(x, dtype):
    model = quantized_model(SemiSparseWeightConfig())
    before = copy.deepcopy(model[0])
    model.to(dtype)
    assert torch.equal(model[0].weight_values, before.weight_values.to(dtype))
    assert torch.equal(model[0].weight_bitmask, before.weight_bitmask)
    assert torch.equal(model[0].weight, before.weight.to(dtype))
    assert model[0](x.to(dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("config", NF4_CONFIGS, ids=str)
def test_to_a_dtype_leaves_all_of_an_nf4_weight_alone(model, config, x, dtype):
    before = copy.deepcopy(model[0])
    model.to(dtype)
    for name in buffer_names(config):
        assert torch.equal(getattr(model[0], name), getattr(before, name)), name
    assert model[0].bias.dtype == model[0].weight.dtype == dtype
    assert torch.equal(model[0].weight, before.weight.to(dtype))
    assert model[0](x.to(dtype)).dtype == dtype


def test_another_weight_is_quantized_as_the_first_was(model, config):
    other = torch.randn(48, 70)
    model[0].requantize_(other)
    with torch.no_grad():
        dense = nn.Linear(70, 48)
        dense.weight.copy_(other)
    expected = QuantLinear.from_linear(dense, config)
    for name in buffer_names(config):
        assert same(getattr(model[0], name), getattr(expected, name)), name


def test_half_and_bfloat16_and_float(model, config, x):
    assert model.half()(x.half()).dtype == torch.float16
    assert model.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
    assert model.float()(x).dtype == torch.float32
    dtype = torch.int8 if config in INT8_CONFIGS else config.weight_dtype if config in FP8_CONFIGS else torch.uint8
    assert getattr(model[0], code_name(config)).dtype == dtype


def test_training_reaches_the_bias_and_what_is_below(config, x):
    model = nn.Sequential(nn.Linear(70, 70), nn.Linear(70, 48))
    quantize_(model, config, filter_fn=lambda module, name: name == "1")
    codes = getattr(model[1], code_name(config)).clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert same(getattr(model[1], code_name(config)), codes)


def test_inference_mode(model, x):
    expected = model(x).detach()
    with torch.inference_mode():
        assert torch.equal(model(x), expected)
