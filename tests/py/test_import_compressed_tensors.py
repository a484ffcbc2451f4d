"""Checkpoints that compressed-tensors has written, and ours in its hands."""

import json

import pytest
import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    apply_quantization_config,
)
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import save_file
from tiny_llama import assert_same_weights, in_file, tiny_llama, weights_of
from torch import Tensor, nn
from torchao_ops import (
    Float8DynamicActivationFloat8WeightConfig,
    Float8WeightOnlyConfig,
    Fp8Linear,
    Int4Linear,
    Int4WeightOnlyConfig,
    Int8Linear,
    PerBlock,
    PerTensor,
    load_quantized,
    quantize_,
    smoothquant,
    to_compressed_tensors,
)
from transformers import CompressedTensorsConfig, LlamaForCausalLM

DYNAMIC_INT8 = QuantizationArgs(num_bits=8, strategy="token", dynamic=True)
DYNAMIC_FLOAT8 = QuantizationArgs(num_bits=8, type="float", strategy="token", dynamic=True)
INT4_GROUPED = QuantizationArgs(num_bits=4, strategy="group", group_size=32)
WEIGHTS = {
    "int4 group": INT4_GROUPED,
    "int4 group asymmetric": QuantizationArgs(num_bits=4, strategy="group", group_size=16, symmetric=False),
    "int4 channel": QuantizationArgs(num_bits=4, strategy="channel"),
    "int4 channel asymmetric": QuantizationArgs(num_bits=4, strategy="channel", symmetric=False),
    "int8 channel": QuantizationArgs(num_bits=8, strategy="channel"),
    "int8 group": QuantizationArgs(num_bits=8, strategy="group", group_size=32),
    "int8 tensor": QuantizationArgs(num_bits=8, strategy="tensor"),
    "float8 channel": QuantizationArgs(num_bits=8, type="float", strategy="channel"),
    "float8 tensor": QuantizationArgs(num_bits=8, type="float", strategy="tensor"),
}


def sequential(in_features: int = 64, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    layers = nn.Sequential(nn.Linear(in_features, 36), nn.ReLU(), nn.Linear(36, in_features, bias=False))
    return layers.to(dtype).requires_grad_(False)


def compress(model: nn.Module, scheme: QuantizationScheme, ignore: list[str]) -> ModelCompressor:
    """What llm-compressor does, with the range of each group for a scale."""
    apply_quantization_config(model, QuantizationConfig(config_groups={"group_0": scheme}, ignore=ignore))
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            args = module.quantization_scheme.weights
            shape = {"tensor": (1, 1, -1), "channel": (len(module.weight), 1, -1)}.get(args.strategy)
            groups = module.weight.view(shape or (len(module.weight), -1, args.group_size))
            scale, zero_point = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
            module.weight_scale.data = scale.view(module.weight_scale.shape)
            if hasattr(module, "weight_zero_point"):
                module.weight_zero_point.data = zero_point.view(module.weight_zero_point.shape)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    return compressor


def decompressed(compressor: ModelCompressor, model: nn.Module) -> dict[str, Tensor]:
    compressor.decompress_model(model)
    return weights_of(model)


def config_of(compressor: ModelCompressor) -> dict:
    return json.loads(compressor.quantization_config.model_dump_json())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_theirs_bit_for_bit(kind, dynamic, dtype):
    args = WEIGHTS[kind]
    activations = (DYNAMIC_FLOAT8 if args.type == "float" else DYNAMIC_INT8) if dynamic else None
    scheme = QuantizationScheme(targets=["Linear"], weights=args, input_activations=activations)
    # Where groups divide no row of 36, the second layer stays dense.
    ignore = ["2"] if args.group_size else []
    theirs, ours = sequential(dtype=dtype), sequential(dtype=dtype)
    compressor = compress(theirs, scheme, ignore)
    state, config = theirs.state_dict(), config_of(compressor)
    report = load_quantized(ours, state, quantization_config=config)

    assert report.format == "compressed-tensors"
    assert list(report.quantized) == (["0"] if ignore else ["0", "2"]) and list(report.dense) == ignore
    layer = ours[0]
    assert type(layer) is (Fp8Linear if args.type == "float" else Int4Linear if args.num_bits == 4 else Int8Linear)
    # int8 with groups has no layer with rounded activations.
    assert layer.dynamic_activations == (dynamic and kind != "int8 group")
    assert layer.weight_scale.dtype == dtype
    if args.num_bits == 4:
        assert layer.group_size == (args.group_size or 64)
        assert (layer.weight_zero_point is None) == args.symmetric
    assert_same_weights(ours, decompressed(compressor, theirs))
    x = torch.randn(3, 64, dtype=dtype)
    assert ours(x).shape == (3, 64)


@pytest.mark.parametrize("in_features", [40, 41, 44, 47])
@pytest.mark.parametrize("kind", ["int4 channel asymmetric", "int8 channel"])
def test_rows_that_end_inside_a_word(in_features, kind):
    theirs, ours = sequential(in_features), sequential(in_features)
    compressor = compress(theirs, QuantizationScheme(targets=["Linear"], weights=WEIGHTS[kind]), [])
    load_quantized(ours, theirs.state_dict(), quantization_config=config_of(compressor))
    assert_same_weights(ours, decompressed(compressor, theirs))
    assert all(buffer.is_contiguous() for buffer in ours.buffers())


def test_without_a_config_the_tensors_tell():
    theirs, ours = sequential(), sequential()
    scheme = QuantizationScheme(targets=["Linear"], weights=WEIGHTS["int8 channel"], input_activations=DYNAMIC_INT8)
    compressor = compress(theirs, scheme, [])
    load_quantized(ours, theirs.state_dict())
    assert not ours[0].dynamic_activations
    assert_same_weights(ours, decompressed(compressor, theirs))


def test_a_folder_of_transformers(tmp_path):
    theirs = tiny_llama()
    compressor = compress(theirs, QuantizationScheme(targets=["Linear"], weights=INT4_GROUPED), ["lm_head"])
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    compressor.update_config(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ours = tiny_llama(seed=1)
    report = load_quantized(ours, tmp_path)
    assert str(report) == (
        "compressed-tensors: 7 layers as int4, group_size=32, symmetric=True, dynamic_activations=False\n"
        "1 linear layer stayed dense: lm_head"
    )
    assert_same_weights(ours, decompressed(compressor, theirs))
    ids = torch.arange(8)[None]
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits)


def test_bytes_stay_where_they_are(tmp_path):
    theirs, ours = sequential(), sequential()
    compress(theirs, QuantizationScheme(targets=["Linear"], weights=INT4_GROUPED), ["2"])
    state = theirs.state_dict()
    load_quantized(ours, state)
    assert ours[0].weight_packed.data_ptr() == state["0.weight_packed"].data_ptr()
    assert ours[0].weight_scale.data_ptr() == state["0.weight_scale"].data_ptr()
    save_file(state, tmp_path / "model.safetensors")
    with torch.device("meta"):
        ours = sequential()
    load_quantized(ours, tmp_path / "model.safetensors")
    for tensor in (ours[0].weight_packed, ours[0].weight_scale, ours[0].bias, ours[2].weight):
        assert in_file(tensor, "model.safetensors")


def test_targets_and_groups():
    int8 = QuantizationScheme(targets=["re:.*[24]$"], weights=WEIGHTS["int8 channel"], input_activations=DYNAMIC_INT8)
    int4 = QuantizationScheme(targets=["Linear"], weights=INT4_GROUPED)
    config = QuantizationConfig(config_groups={"a": int8, "b": int4}, format="mixed-precision")
    ours = nn.Sequential(*(nn.Linear(64, 64) for _ in range(5)))
    for i, layer in enumerate(ours):
        quantize_(layer, "int8dq" if i in (2, 4) else "int4wo-32")
    state, _ = to_compressed_tensors(ours)
    loaded = nn.Sequential(*(nn.Linear(64, 64) for _ in range(5)))
    load_quantized(loaded, state, quantization_config=json.loads(config.model_dump_json()))
    assert [getattr(layer, "dynamic_activations", None) for layer in loaded] == [False, False, True, False, True]


def test_static_scales_of_activations_are_left_out_with_a_note():
    theirs, ours = sequential(), sequential()
    static = QuantizationArgs(num_bits=8, strategy="tensor")
    compressor = compress(
        theirs, QuantizationScheme(targets=["0"], weights=WEIGHTS["int8 channel"], input_activations=static), []
    )
    state = theirs.state_dict()
    assert "0.input_scale" in state
    report = load_quantized(ours, state, quantization_config=config_of(compressor))
    assert report.notes == ("0's activations are not rounded with the checkpoint's input_scale",)
    # They are rounded all the same, by rows.
    assert ours[0].input_scale is None and ours[0].dynamic_activations


def tampered(**changes) -> dict[str, Tensor]:
    theirs = sequential()
    compress(theirs, QuantizationScheme(targets=["0"], weights=INT4_GROUPED), [])
    state = {**theirs.state_dict(), **{f"0.{name}": value for name, value in changes.items()}}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    "state, config, sentence",
    [
        (
            lambda: {"0.weight": torch.zeros(36, 64).to(torch.float8_e4m3fn), "0.weight_scale": torch.ones(36, 2)},
            {},
            "0 must have one scale, one a row or one for each 128 x 128 weights, but their shape is [36, 2]",
        ),
        (
            lambda: tampered(weight_packed=torch.zeros(36, 6, dtype=torch.int32)),
            {},
            "0 must have 4 bits a weight, or 8 without zero points, but has 3 and no zero points",
        ),
        (
            lambda: tampered(weight_shape=torch.tensor([36, 63])),
            {},
            "0's groups must divide its 63 columns, but there are 2 of them",
        ),
        (
            lambda: tampered(weight_g_idx=torch.arange(64) % 2),
            {},
            "0 must have its columns in groups of neighbours, but its g_idx scatters them (desc_act=True): that would take a gather of "
            "x at each call",
        ),
        (
            lambda: tampered(weight_scale=None),
            {},
            "the checkpoint must have all tensors of the model, but lacks 0.weight",
        ),
        (
            lambda: {
                "0.weight": torch.zeros(36, 64, dtype=torch.int8),
                "0.weight_scale": torch.ones(36, 1),
                "0.weight_zero_point": torch.ones(36, 1, dtype=torch.int8),
            },
            {},
            "0 must be symmetric to have 8 bits a weight, but it has zero points",
        ),
        (tampered, {"transform_config": {"config_groups": 1}}, "transform_config must be empty, but got"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(state, config, sentence):
    with pytest.raises(ValueError) as error:
        load_quantized(sequential(), state(), quantization_config=config)
    assert str(error.value).startswith("load_quantized: ") and sentence in str(error.value)


def their_model(model: nn.Module, state: dict[str, Tensor], config: dict) -> nn.Module:
    """`model` with our checkpoint, loaded and decompressed by them."""
    parsed = QuantizationConfig.model_validate(config)
    apply_quantization_config(model, parsed)
    compressor = ModelCompressor(quantization_config=parsed)
    compressor.compress_model(model)
    model.load_state_dict(state)
    compressor.decompress_model(model)
    return model


SYMMETRIC = Int4WeightOnlyConfig(group_size=32, symmetric=True)
WHOLE_ROW = Int4WeightOnlyConfig(group_size=128)
FLOAT8 = [
    Float8WeightOnlyConfig(),
    Float8DynamicActivationFloat8WeightConfig(PerTensor()),
    Float8WeightOnlyConfig(PerBlock()),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "config", ["int4wo-32", "8da4w-16", SYMMETRIC, WHOLE_ROW, "int8wo", "int8wo-32", "int8dq", *FLOAT8], ids=str
)
def test_they_decompress_our_weights_bit_for_bit(config, dtype):
    ours = sequential(dtype=dtype)
    quantize_(ours, config, lambda module, name: name == "0")
    state, quantization_config = to_compressed_tensors(ours)
    theirs = their_model(sequential(dtype=dtype), state, json.loads(json.dumps(quantization_config)))
    assert_same_weights(ours, weights_of(theirs))
    again = sequential(dtype=dtype)
    load_quantized(again, state, quantization_config=quantization_config)
    assert_same_weights(again, weights_of(ours))
    assert getattr(again[0], "dynamic_activations") == ours[0].dynamic_activations


@pytest.mark.parametrize("in_features", [41, 44])
@pytest.mark.parametrize("config", [WHOLE_ROW, "int8wo"], ids=str)
def test_they_decompress_rows_that_end_inside_a_word(config, in_features):
    ours = sequential(in_features)
    quantize_(ours, config)
    theirs = their_model(sequential(in_features), *to_compressed_tensors(ours))
    assert_same_weights(ours, weights_of(theirs))


def test_layers_of_several_kinds():
    ours, theirs = sequential(), sequential()
    quantize_(ours, "int4wo-16", lambda module, name: name == "0")
    quantize_(ours, "int8dq")
    state, config = to_compressed_tensors(ours)
    assert config["format"] == "mixed-precision"
    assert [group["format"] for group in config["config_groups"].values()] == ["pack-quantized", "int-quantized"]
    assert_same_weights(ours, weights_of(their_model(theirs, state, config)))


def test_exported_bytes_stay_where_they_are():
    ours = sequential()
    quantize_(ours, "int4wo-16", lambda module, name: name == "0")
    state, config = to_compressed_tensors(ours)
    assert state["0.weight_packed"].data_ptr() == ours[0].weight_packed.data_ptr()
    assert config["ignore"] == ["2"]


def test_transformers_loads_our_folder(tmp_path):
    ours = tiny_llama()
    quantize_(ours, "int4wo-32", lambda module, name: name != "lm_head")
    state, config = to_compressed_tensors(ours)
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    ours.config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**written, "quantization_config": config}))
    theirs = LlamaForCausalLM.from_pretrained(
        tmp_path, quantization_config=CompressedTensorsConfig(run_compressed=False), dtype=torch.float32
    )
    assert_same_weights(ours, weights_of(theirs))


def smoothed() -> nn.Module:
    model = nn.Sequential(nn.Linear(64, 64))
    smoothquant(model, calibration_inputs=[torch.randn(2, 64)])
    quantize_(model, "int8dq")
    return model


def with_fractional_zero_points() -> nn.Module:
    model = sequential()
    quantize_(model, "int4wo-32")
    model[0].weight_zero_point += 0.5
    return model


def quantized(config: str) -> nn.Module:
    model = sequential()
    quantize_(model, config)
    return model


@pytest.mark.parametrize(
    "model, sentence",
    [
        (smoothed, "0 must have no input_scale, but was smoothed"),
        (with_fractional_zero_points, "0's zero points must be integers from 0 to 15, but are not"),
        (lambda: quantized("nf4"), "0 must be int4, int8 or fp8, but is NF4Linear"),
        (lambda: quantized("int4wo-24"), "0's groups of 24 must divide its 64 columns, but do not"),
        (sequential, "model must have quantized layers, but has none"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(model, sentence):
    with pytest.raises(ValueError) as error:
        to_compressed_tensors(model())
    assert str(error.value) == f"to_compressed_tensors: {sentence}"
