"""Checkpoints of bitsandbytes' Linear4bit."""

import bitsandbytes
import pytest
import torch
from safetensors.torch import save_file
from tiny_llama import assert_same_weights, convert_linears, in_file, tiny_llama, weights_of
from torch import nn
from torchao_ops import NF4Linear, load_quantized


def linear_4bit(
    linear: nn.Linear, nested: bool = False, kind: str = "nf4", storage: torch.dtype = torch.uint8
) -> nn.Module:
    theirs = bitsandbytes.nn.Linear4bit(
        linear.in_features, linear.out_features, linear.bias is not None, compress_statistics=nested, quant_type=kind
    )
    theirs.weight = bitsandbytes.nn.Params4bit(
        linear.weight.data, requires_grad=False, compress_statistics=nested, quant_type=kind, quant_storage=storage
    )
    if linear.bias is not None:
        theirs.bias = linear.bias
    return theirs.to("cpu")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_file_of_a_model(nested, dtype, tmp_path):
    theirs, expected = tiny_llama(dtype=dtype), weights_of(tiny_llama(dtype=dtype))
    convert_linears(theirs, lambda linear: linear_4bit(linear, nested))
    for name, module in theirs.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = module.weight
            expected[f"{name}.weight"] = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = tiny_llama(seed=1, dtype=dtype)
    report = load_quantized(ours, tmp_path / "model.safetensors")
    assert str(report).startswith(f"bitsandbytes: 7 layers as nf4, block_size=64, double_quant={nested}")
    assert_same_weights(ours, expected)
    layer = ours.model.layers[0].mlp.up_proj
    assert type(layer) is NF4Linear
    assert in_file(layer.weight_packed, "model.safetensors") and in_file(layer.weight_absmax, "model.safetensors")


def test_bytes_that_are_called_something_else():
    dense, ours = nn.Linear(64, 36), nn.Linear(64, 36)
    theirs = linear_4bit(dense, storage=torch.bfloat16)
    state = theirs.state_dict()
    assert state["weight"].dtype == torch.bfloat16
    load_quantized(ours, state)
    assert torch.equal(ours.weight_packed, linear_4bit(dense).weight.data.flatten())


def test_fp4_is_refused():
    with pytest.raises(ValueError, match="^load_quantized: 0 must be NF4, but is FP4$"):
        load_quantized(
            nn.Sequential(nn.Linear(64, 36)), nn.Sequential(linear_4bit(nn.Linear(64, 36), kind="fp4")).state_dict()
        )
