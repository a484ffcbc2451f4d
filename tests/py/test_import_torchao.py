"""State dicts and files of torchao's quantized tensors."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization import (
    Int8DynamicActivationInt8WeightConfig,
    Int8DynamicActivationIntxWeightConfig,
    Int8StaticActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    IntxWeightOnlyConfig,
    MappingType,
    PerAxis,
    PerGroup,
    PerRow,
    PerTensor,
    quantize_,
)
from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import to_nf4
from torchao_ops import Int4Linear, Int8Linear, NF4Linear, load_quantized

ASYMMETRIC = {"mapping_type": MappingType.ASYMMETRIC}
CASES = {
    "int8": (Int8WeightOnlyConfig(), Int8Linear, False),
    "int8 group": (Int8WeightOnlyConfig(granularity=PerGroup(32)), Int8Linear, False),
    "int8 tensor": (Int8WeightOnlyConfig(granularity=PerTensor()), Int8Linear, False),
    "int8 dynamic": (Int8DynamicActivationInt8WeightConfig(), Int8Linear, True),
    "intx4": (IntxWeightOnlyConfig(torch.int4, PerGroup(32)), Int4Linear, False),
    "intx4 asymmetric": (IntxWeightOnlyConfig(torch.int4, PerGroup(16), **ASYMMETRIC), Int4Linear, False),
    "intx3": (IntxWeightOnlyConfig(torch.int3, PerGroup(32)), Int4Linear, False),
    "intx4 axis": (IntxWeightOnlyConfig(torch.int4, PerAxis(0)), Int4Linear, False),
    "intx8": (IntxWeightOnlyConfig(torch.int8, PerGroup(32)), Int8Linear, False),
    "8da4w": (Int8DynamicActivationIntxWeightConfig(torch.int4, PerGroup(32)), Int4Linear, True),
}


def model(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 36), nn.LayerNorm(36)).to(dtype).requires_grad_(False)


@pytest.mark.parametrize("flat", [False, True], ids=["state dict", "safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_weights_are_theirs_bit_for_bit(case, dtype, flat, tmp_path):
    config, linear_class, dynamic = CASES[case]
    theirs, ours = model(dtype), model(dtype)
    quantize_(theirs, config)
    state = theirs.state_dict()
    if flat:
        tensors, metadata = flatten_tensor_state_dict(state)
        save_file(tensors, tmp_path / "model.safetensors", metadata)
        state = tmp_path / "model.safetensors"
    assert load_quantized(ours, state).format == "torchao"
    assert type(ours[0]) is linear_class and ours[0].dynamic_activations == dynamic
    assert torch.equal(ours[0].weight.to(dtype), theirs[0].weight.dequantize())
    assert torch.equal(ours[0].bias, theirs[0].bias) and torch.equal(ours[1].weight, theirs[1].weight)


def test_int8_codes_stay_where_they_are():
    theirs, ours = model(), model()
    quantize_(theirs, Int8WeightOnlyConfig())
    load_quantized(ours, theirs.state_dict())
    assert ours[0].weight_codes.data_ptr() == theirs[0].weight.qdata.data_ptr()


def test_static_scales_of_activations_are_left_out_with_a_note():
    theirs, ours = model(), model()
    scale = torch.tensor([[0.05]])
    quantize_(theirs, Int8StaticActivationInt8WeightConfig(scale, granularity=[PerTensor(), PerRow()]))
    report = load_quantized(ours, theirs.state_dict())
    assert report.notes == ("0's activations are not rounded with the checkpoint's act_quant_scale",)
    assert ours[0].dynamic_activations  # by rows


def test_nf4():
    theirs, ours = nn.Linear(64, 128, bias=False), nn.Linear(64, 128, bias=False)
    theirs.weight = nn.Parameter(to_nf4(theirs.weight.detach(), 64, 128), requires_grad=False)
    load_quantized(ours, {"weight": theirs.weight})
    assert type(ours) is NF4Linear
    torch.testing.assert_close(ours.weight, theirs.weight.get_original_weight())


def test_asymmetric_int8_is_refused():
    theirs = model()
    quantize_(theirs, IntxWeightOnlyConfig(torch.int8, PerGroup(32), **ASYMMETRIC))
    with pytest.raises(
        ValueError, match="^load_quantized: 0 must be symmetric to have 8 bits a weight, but it has zero points$"
    ):
        load_quantized(model(), theirs.state_dict())


def test_tensors_of_one_kernel_are_refused():
    class Int4TilePackedTo4dTensor(torch.Tensor):
        __module__ = "torchao.quantization"

    state = {"0.weight": torch.zeros(36, 64).as_subclass(Int4TilePackedTo4dTensor)}
    with pytest.raises(ValueError, match="0.weight must be one of .*, but is Int4TilePackedTo4dTensor"):
        load_quantized(model(), state)
