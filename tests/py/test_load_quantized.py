"""What load_quantized does with every format: names, shapes, dtypes, ties, files, errors. The formats have tests of their own."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchao_ops import Int4Linear, QuantLinear, load_quantized, quantize_, to_compressed_tensors


class Tied(nn.Module):
    """An embedding whose weight the output has, too, and a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 64)
        self.up = nn.Linear(64, 96)
        self.down = nn.Linear(96, 64, bias=False)
        self.output = nn.Linear(64, 40, bias=False)
        self.output.weight = self.embedding.weight
        self.register_buffer("positions", torch.arange(8), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.output(self.down(self.up(self.embedding(ids)).relu()))


def quantized(dtype: torch.dtype = torch.float32) -> Tied:
    model = Tied().to(dtype)
    quantize_(model, "int4wo-32", lambda module, name: name != "output")
    return model


def checkpoint(dtype: torch.dtype = torch.float32) -> tuple[Tied, dict[str, Tensor]]:
    """Of tied tensors, one is saved."""
    model = quantized(dtype)
    state, _ = to_compressed_tensors(model)
    del state["output.weight"]
    return model, {name: tensor.detach() for name, tensor in state.items()}


IDS = torch.arange(6)[None]


def test_a_model_is_as_before():
    theirs, state = checkpoint()
    model = Tied()
    modules, embedding = list(model.modules()), model.embedding.weight
    report = load_quantized(model, state)
    assert list(model.modules()) == modules
    assert type(model.up) is Int4Linear and model.output.weight is model.embedding.weight
    assert model.embedding.weight.requires_grad == embedding.requires_grad
    assert torch.equal(model(IDS), theirs(IDS))
    assert str(report) == (
        "compressed-tensors: 2 layers as int4, group_size=32, symmetric=False, dynamic_activations=False\n"
        "1 linear layer stayed dense: output"
    )


def test_a_model_on_the_meta_device():
    theirs, state = checkpoint()
    with torch.device("meta"):
        model = Tied()
    with pytest.raises(ValueError) as error:
        load_quantized(model, state)
    assert str(error.value) == "load_quantized: the checkpoint must have all tensors of the model, but lacks positions"
    assert type(model.up) is nn.Linear
    model.positions = torch.arange(8)
    load_quantized(model, state)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert model.output.weight is model.embedding.weight
    assert torch.equal(model(IDS), theirs(IDS))


def test_the_model_says_the_dtype_of_dense_tensors():
    _, state = checkpoint(torch.bfloat16)
    model = Tied()
    load_quantized(model, state)
    assert model.up.weight_scale.dtype == torch.bfloat16
    assert model.up.bias.dtype == model.embedding.weight.dtype == model(IDS).dtype == torch.float32


def test_a_model_that_is_one_layer():
    theirs = nn.Sequential(nn.Linear(64, 36))
    quantize_(theirs, "int8wo")
    state, _ = to_compressed_tensors(theirs)
    model = nn.Linear(64, 36)
    load_quantized(model, state, rename=lambda name: name.removeprefix("0."))
    assert torch.equal(model.weight, theirs[0].weight)


def test_a_layer_with_two_names():
    theirs = nn.Sequential(nn.Linear(64, 64))
    quantize_(theirs, "int4wo-32")
    state, _ = to_compressed_tensors(theirs)
    for with_both in (False, True):
        layer = nn.Linear(64, 64)
        model = nn.Sequential(layer, layer)
        both = {**state, **{f"1{name[1:]}": value for name, value in state.items()}}
        load_quantized(model, both if with_both else state)
        assert isinstance(layer, QuantLinear)
        assert torch.equal(layer.weight, theirs[0].weight) and torch.equal(layer.bias, theirs[0].bias)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_files(suffix, tmp_path):
    theirs, state = checkpoint()
    (save_file if suffix == ".safetensors" else torch.save)(state, tmp_path / f"model{suffix}")
    for path in (tmp_path / f"model{suffix}", str(tmp_path)):
        model = Tied()
        load_quantized(model, path)
        assert torch.equal(model(IDS), theirs(IDS))


def test_a_folder_with_an_index_and_a_config(tmp_path):
    theirs, state = checkpoint()
    names = sorted(state)
    weight_map = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(names)}
    for file in set(weight_map.values()):
        save_file({name: state[name] for name in names if weight_map[name] == file}, tmp_path / file)
    save_file({"not": torch.ones(1)}, tmp_path / "another.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"transform_config": {"a": 1}}}))
    model = Tied()
    with pytest.raises(ValueError, match="transform_config"):
        load_quantized(model, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "compressed-tensors"}}))
    load_quantized(model, tmp_path)
    assert torch.equal(model(IDS), theirs(IDS))


def with_changes(**changes: Tensor | None) -> dict[str, Tensor]:
    _, state = checkpoint()
    state.update({name.replace("__", "."): value for name, value in changes.items()})
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"up__bias": None}, "the checkpoint must have all tensors of the model, but lacks up.bias"),
        ({"a": torch.ones(1), "b": torch.ones(1)}, "the model must have all tensors of the checkpoint, but lacks a, b"),
        ({"up__bias": torch.ones(95)}, "up.bias must be [96], but got [95]"),
        ({"up__weight_shape": torch.tensor([95, 64])}, "up.weight_zero_point must be torch.float32"),
        (
            {"up__weight_scale": torch.ones(95, 2)},
            "up.weight_scale must be torch.float32 or torch.float16 or torch.bfloat16 [96, 2], but got",
        ),
        ({"up__weight_scale": torch.ones(96, 2).double()}, "up.weight_scale must be torch.float32 or torch.float16 or"),
        (
            {"embedding__weight_scale": torch.ones(1)},
            "embedding must be an nn.Linear, as its weight is quantized, but is not",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_changes_nothing(changes, sentence):
    model = Tied()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError) as error:
        load_quantized(model, with_changes(**changes))
    assert str(error.value).startswith(f"load_quantized: {sentence}")
    assert type(model.up) is nn.Linear
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_not_strict():
    model = Tied()
    bias = model.up.bias.detach().clone()
    report = load_quantized(model, with_changes(up__bias=None, a=torch.ones(64)), strict=False)
    assert report.missing == ("up.bias",) and report.unexpected == ("a",)
    assert "missing: up.bias\nunexpected: a" in str(report)
    assert torch.equal(model.up.bias, bias)


@pytest.mark.parametrize(
    "state, config, sentence",
    [
        ({"up.weight": torch.ones(1)}, None, "its tensors' names are of none of them"),
        ({"up.weight": torch.ones(1)}, {"quant_method": "eetq"}, "its quant_method is 'eetq'"),
    ],
)
def test_what_is_not_recognized(state, config, sentence):
    with pytest.raises(ValueError) as error:
        load_quantized(Tied(), state, quantization_config=config)
    known = "compressed-tensors, bitsandbytes, GPTQ, AWQ, HQQ"
    assert str(error.value) == f"load_quantized: the checkpoint must be one of GGUF, torchao, {known}, but {sentence}"


def test_paths_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing must be a file or a folder, but there is none"):
        load_quantized(Tied(), tmp_path / "nothing")
    with pytest.raises(ValueError, match="must have a file of safetensors, GGUF or torch.save, but has none"):
        load_quantized(Tied(), tmp_path)
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match="a.txt must end in"):
        load_quantized(Tied(), tmp_path / "a.txt")


def test_two_tensors_of_one_name():
    with pytest.raises(ValueError, match="rename must give each tensor a name of its own, but two got the same"):
        load_quantized(Tied(), checkpoint()[1], rename=lambda name: "a")
