"""Layers of the package hqq, saved in both of its ways."""

import pytest
import torch
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
from hqq.models.hf.base import AutoHQQHFModel
from safetensors.torch import load_file, save_file
from tiny_llama import assert_same_weights, convert_linears, tiny_llama, weights_of
from torch import nn
from torchao_ops import Int4Linear, load_quantized


def hqq_linear(linear: nn.Linear, dtype: torch.dtype = torch.float32, **options) -> HQQLinear:
    config = BaseQuantizeConfig(**{"nbits": 4, "group_size": 32, "axis": 1, **options})
    return HQQLinear(linear, config, compute_dtype=dtype, device="cpu")


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("view_as_float", [False, True])
@pytest.mark.parametrize("group_size", [16, 32, None])
def test_weights_are_theirs(group_size, view_as_float, encoded, tmp_path):
    dense = nn.Linear(64, 36)
    theirs = hqq_linear(dense, group_size=group_size, view_as_float=view_as_float)
    theirs.encoded_state_dict = encoded
    if encoded:
        save_file(theirs.state_dict(), tmp_path / "a.safetensors")
        state = load_file(tmp_path / "a.safetensors")
    else:
        torch.save({"proj": dict(theirs.state_dict())}, tmp_path / "a.pt")
        state = torch.load(tmp_path / "a.pt", weights_only=True)["proj"]
    ours = nn.Linear(64, 36)
    assert load_quantized(ours, state).format == "HQQ"
    assert type(ours) is Int4Linear and ours.group_size == (group_size or 64)
    # fp32 throughout: the same three roundings.
    assert torch.equal(ours.weight, theirs.dequantize())
    assert torch.equal(ours.bias, theirs.bias)


def test_zero_points_may_be_fractional():
    theirs, ours = hqq_linear(nn.Linear(64, 36)), nn.Linear(64, 36)
    theirs.meta["zero"] = theirs.meta["zero"] + 0.25
    load_quantized(ours, theirs.state_dict())
    assert torch.equal(ours.weight_zero_point.view(-1, 1), theirs.meta["zero"])
    assert torch.equal(ours.weight, theirs.dequantize())


def test_a_folder_of_hqq(tmp_path):
    theirs = tiny_llama()
    convert_linears(theirs, hqq_linear)
    AutoHQQHFModel.setup_model(theirs)
    expected = {
        **{name: value for name, value in weights_of(tiny_llama()).items()},
        **{
            f"{name}.weight": module.dequantize()
            for name, module in theirs.named_modules()
            if isinstance(module, HQQLinear)
        },
    }
    AutoHQQHFModel.save_quantized(theirs, str(tmp_path))
    ours = tiny_llama(seed=1)
    report = load_quantized(ours, tmp_path)
    assert len(report.quantized) == 7 and report.dense == ("lm_head",)
    assert_same_weights(ours, expected)


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            {"axis": 0},
            "the model must be quantized with axis=1, but was with axis=0: its scales belong to single columns",
        ),
        ({"nbits": 8}, "the model's packing must be 4bit_u8, but got 8bit_u8"),
        ({"group_size": 48}, "the model's groups of 48 must divide its 64 columns, but straddle rows"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(options, sentence):
    theirs = hqq_linear(nn.Linear(64, 36), **options)
    with pytest.raises(ValueError) as error:
        load_quantized(nn.Linear(64, 36), theirs.state_dict())
    assert str(error.value) == f"load_quantized: {sentence}"
