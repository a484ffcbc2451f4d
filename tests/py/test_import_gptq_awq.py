"""Weights that the code of GPTQModel and AutoAWQ has packed (make_checkpoints.py says how), in our layers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchao_ops import Int4Linear, Int8Linear, load_quantized

FOLDER = Path(__file__).parent / "checkpoints"
GPTQ_V1 = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq"}
GPTQ_V2 = {**GPTQ_V1, "checkpoint_format": "gptq_v2"}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}


def checkpoint(kind: str, case: str) -> tuple[dict[str, Tensor], Tensor]:
    """The state dict of a model of one linear layer, named proj, and its weight as their code dequantizes it."""
    tensors = {
        name.removeprefix(f"{case}."): tensor
        for name, tensor in load_file(FOLDER / f"{kind}.safetensors").items()
        if name.startswith(f"{case}.")
    }
    expected = tensors.pop("expected")
    return {f"proj.{name}": tensor for name, tensor in tensors.items()}, expected


def dense(expected: Tensor, bias: bool = False) -> nn.ModuleDict:
    out_features, in_features = expected.shape
    return nn.ModuleDict({"proj": nn.Linear(in_features, out_features, bias=bias)}).half()


@pytest.mark.parametrize(
    "kind, case, config",
    [
        ("gptq", "sym_v1", GPTQ_V1),
        ("gptq", "sym_v2", GPTQ_V2),
        ("gptq", "asym_v1", GPTQ_V1),
        ("gptq", "asym_v2", GPTQ_V2),
        ("gptq", "channel_v1", {**GPTQ_V1, "group_size": -1}),
        ("gptq", "sym_v1", None),
        ("gptq", "sym_v2", None),
        ("awq", "grouped", AWQ),
        ("awq", "channel", {**AWQ, "group_size": 128}),
        ("awq", "grouped", None),
    ],
)
def test_weights_are_theirs_bit_for_bit(kind, case, config):
    state, expected = checkpoint(kind, case)
    model = dense(expected, bias="proj.bias" in state)
    report = load_quantized(model, state, quantization_config=config)
    assert report.format == kind.upper()
    layer = model["proj"]
    assert type(layer) is Int4Linear and layer.weight_scale.dtype == torch.float16
    assert layer.group_size == (128 if case.startswith("channel") else 32)
    assert (layer.weight_zero_point is None) == (case.startswith("sym") or (kind, case) == ("gptq", "channel_v1"))
    assert torch.equal(layer.weight, expected)
    if "proj.bias" in state:
        assert torch.equal(layer.bias, state["proj.bias"])
    assert all(buffer.is_contiguous() for buffer in layer.buffers())


def test_zero_points_of_zero_come_back():
    """Stored minus one, they borrow from their neighbours in the word."""
    state, expected = checkpoint("gptq", "asym_v1")
    model = dense(expected)
    load_quantized(model, state, quantization_config=GPTQ_V1)
    assert (model["proj"].weight_zero_point == 0).any()


def test_8_bits():
    state, expected = checkpoint("gptq", "int8_v1")
    model = dense(expected)
    load_quantized(model, state, quantization_config={**GPTQ_V1, "bits": 8})
    assert type(model["proj"]) is Int8Linear and model["proj"].group_size == 32
    assert torch.equal(model["proj"].weight, expected)


@pytest.mark.parametrize(
    "kind, case, config, sentence",
    [
        (
            "gptq",
            "act_order_v1",
            GPTQ_V1,
            "proj must have its columns in groups of neighbours, but its g_idx scatters them (desc_act=True): that would take a gather of "
            "x at each call",
        ),
        (
            "gptq",
            "asym_v2",
            None,
            "quantization_config must be given with a checkpoint_format, gptq or gptq_v2, to read proj.qzeros, but there is none",
        ),
        (
            "gptq",
            "asym_v2",
            {**GPTQ_V1, "checkpoint_format": "marlin"},
            "checkpoint_format must be gptq or gptq_v2, but got 'marlin'",
        ),
        (
            "gptq",
            "int8_v1",
            {**GPTQ_V2, "bits": 8},
            "proj must be symmetric to have 8 bits a weight, but it has zero points",
        ),
        ("awq", "grouped", {**AWQ, "version": "gemv"}, "AWQ's version must be gemm, but got 'gemv'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(kind, case, config, sentence):
    state, expected = checkpoint(kind, case)
    model = dense(expected, bias="proj.bias" in state)
    with pytest.raises(ValueError) as error:
        load_quantized(model, state, quantization_config=config)
    assert str(error.value) == f"load_quantized: {sentence}"
    assert type(model["proj"]) is nn.Linear
