"""NF4 weights as values, and those of bitsandbytes and torchao taken over."""

import bitsandbytes
import pytest
import reference
import torch
from torch import nn
from torchao.quantization.quantize_.workflows.nf4 import nf4_tensor
from torchao_ops import NF4Linear, NF4Weight, NF4WeightOnlyConfig, linear_nf4, quantize_, to_nf4
from torchao_ops.nf4 import nf4_code

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("nested_block_size", [256, 32, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_of_any_shape_comes_back(nested_block_size, dtype):
    for shape in ((48, 70), (7,), (3, 5, 11), (0, 4), ()):
        tensor = torch.randn(shape, dtype=dtype)
        weight = to_nf4(tensor, 64, nested_block_size)
        assert weight.shape == shape and weight.dtype == dtype
        dequantized = weight.dequantize()
        assert dequantized.shape == shape and dequantized.dtype == dtype
        # A coarse bound for few numbers; what exactly comes back is for the operators' tests.
        assert reference.relative_error(dequantized, tensor) < 0.2
        assert weight.dequantize(torch.float32).dtype == torch.float32


def test_linear_nf4_multiplies_and_has_gradients():
    dense, x, bias = torch.randn(48, 70), torch.randn(5, 70, requires_grad=True), torch.randn(48, requires_grad=True)
    weight = to_nf4(dense)
    y = linear_nf4(x, weight, bias)
    expected = nn.functional.linear(x, weight.dequantize(), bias)
    torch.testing.assert_close(y, expected)
    grad = torch.randn_like(y)
    got = torch.autograd.grad(y, (x, bias), grad)
    torch.testing.assert_close(got, torch.autograd.grad(expected, (x, bias), grad))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_dict_of_bitsandbytes_loads(nested, dtype, device):
    dense, x = torch.randn(48, 70, dtype=dtype, device="cpu"), torch.randn(5, 70, dtype=dtype, device="cpu")
    theirs = bitsandbytes.nn.Linear4bit(70, 48, compute_dtype=dtype, compress_statistics=nested, quant_type="nf4")
    theirs.weight = bitsandbytes.nn.Params4bit(
        dense, requires_grad=False, compress_statistics=nested, quant_type="nf4", quant_storage=torch.uint8
    )
    theirs = theirs.to("cpu")
    theirs.bias.data = theirs.bias.data.to(dtype)
    state = theirs.state_dict()
    expected = bitsandbytes.functional.dequantize_4bit(theirs.weight.data, theirs.weight.quant_state)

    weight = NF4Weight.from_bitsandbytes(state)
    assert weight.shape == (48, 70) and weight.dtype == dtype
    assert torch.equal(weight.dequantize(), expected)
    assert weight.packed.data_ptr() == state["weight"].data_ptr()

    ours = nn.Linear(70, 48, dtype=dtype)
    quantize_(ours, NF4WeightOnlyConfig(double_quant=nested))
    ours.load_state_dict(state)
    assert torch.equal(ours.weight.cpu(), expected)
    assert reference.relative_error(ours(x.to(device)), theirs(x)) < 4 * torch.finfo(dtype).eps

    other = nn.Linear(70, 48, dtype=dtype)
    quantize_(other, NF4WeightOnlyConfig(double_quant=not nested))
    with pytest.raises(RuntimeError) as error:
        other.load_state_dict(state)
    assert (
        f"weight must be quantized with NF4WeightOnlyConfig(block_size=64, double_quant={not nested}), "
        f"but the state dict's was with NF4WeightOnlyConfig(block_size=64, double_quant={nested})"
    ) in str(error.value)


def test_what_bitsandbytes_did_not_write():
    with pytest.raises(ValueError) as error:
        NF4Weight.from_bitsandbytes({"weight": torch.zeros(4)})
    assert str(error.value) == (
        "from_bitsandbytes: the state dict must have weight.quant_state.bitsandbytes__nf4, but it has not: no NF4 weight"
    )
    state = {
        "w.quant_state.bitsandbytes__nf4": torch.tensor(list(b'{"blocksize": 64, "shape": [2, 2], "dtype": "float32"}'))
    }
    with pytest.raises(ValueError) as error:
        NF4Weight.from_bitsandbytes(state, "w")
    assert str(error.value) == "from_bitsandbytes: the state dict must have w, but it has not"
    state |= {"w": torch.zeros(2, dtype=torch.uint8), "w.absmax": torch.ones(1), "w.quant_map": torch.zeros(16)}
    with pytest.raises(ValueError, match="w.quant_map must be the 16 numbers of NF4, but got"):
        NF4Weight.from_bitsandbytes(state, "w")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_of_torchao(dtype):
    dense = torch.randn(512, 128, dtype=dtype)
    theirs = nf4_tensor.to_nf4(dense)
    ours = NF4Weight.from_torchao(theirs)
    assert ours.shape == (512, 128) and ours.dtype == dtype
    # torchao has the 16 numbers with four decimals, and rounds them and each product to dtype.
    absmax = ours.absmax.float().repeat_interleave(64).view(512, 128)
    difference = (ours.dequantize().float() - theirs.get_original_weight().float()).abs()
    assert (difference <= (0.5e-4 + 2 * torch.finfo(dtype).eps) * absmax.abs()).all()


def test_the_numbers_of_the_format():
    code = nf4_code()
    assert code.device.type == "cpu"
    assert code[0] == -1 and code[7] == 0 and code[15] == 1 and torch.equal(code, code.sort().values)


def test_a_layer_is_made_for_loading(device):
    layer = NF4Linear(70, 48, bias=False, device="meta", dtype=torch.float16, config=NF4WeightOnlyConfig())
    assert layer.weight.dtype == torch.float16
    layer.load_state_dict(
        NF4Linear.from_linear(nn.Linear(70, 48, bias=False), NF4WeightOnlyConfig()).state_dict(), assign=True
    )
    assert layer.weight.dtype == torch.float16
    layer.to(device).bfloat16()
    assert layer.weight.dtype == torch.bfloat16
