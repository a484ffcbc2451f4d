"""bitsandbytes and these operators read each other's weights, bit for bit."""

import pytest
import reference
import torch
from helpers import FLOAT_DTYPES
from torch import Tensor
from torchao_ops import nf4_dequantize, nf4_mm, nf4_mm_backward, nf4_quantize, nf4_quantize_absmax

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
from bitsandbytes import functional as bnb  # noqa: E402

# Rows that blocks divide, rows that they straddle, an odd number of elements, less than a block.
SHAPES = [(24, 128), (40, 33), (7, 33), (3, 5), (300, 1024)]
every_weight = [
    pytest.mark.parametrize("shape", SHAPES, ids=str),
    pytest.mark.parametrize("dtype", FLOAT_DTYPES, ids=str),
    pytest.mark.parametrize("block_size", [64, 128]),
    pytest.mark.parametrize("doubly_quantized", [False, True]),
]


def of_every_weight(test):
    for mark in every_weight:
        test = mark(test)
    return test


def theirs(weight: Tensor, block_size: int, doubly_quantized: bool) -> tuple[Tensor, bnb.QuantState]:
    return bnb.quantize_4bit(weight, blocksize=block_size, quant_type="nf4", compress_statistics=doubly_quantized)


def nested_args(state: bnb.QuantState) -> tuple:
    """What the operators call the parts of their quantization state."""
    if not state.nested:
        return ()
    return state.state2.code, state.state2.absmax, state.offset, state.state2.blocksize


@of_every_weight
def test_their_weight_in_our_operators(shape, dtype, block_size, doubly_quantized):
    packed, state = theirs(torch.randn(shape).to(dtype), block_size, doubly_quantized)
    assert packed.shape[1:] == (1,)
    nested = nested_args(state)
    for out_dtype in reversed(FLOAT_DTYPES):  # fp32, for the products, last
        state.dtype = out_dtype
        expected = bnb.dequantize_4bit(packed, state)
        assert torch.equal(nf4_dequantize(packed, state.absmax, shape, block_size, out_dtype, *nested), expected)
    out_features, in_features = shape
    x, grad, bias = torch.randn(4, in_features), torch.randn(4, out_features), torch.randn(out_features)
    y = nf4_mm(x, packed, state.absmax, out_features, block_size, bias, *nested)
    assert reference.relative_error(y, reference.mm(x, expected, bias)) < 5e-7
    grad_x = nf4_mm_backward(grad, packed, state.absmax, in_features, block_size, *nested)
    assert reference.relative_error(grad_x, reference.mm(grad, expected.T)) < 5e-7


@of_every_weight
def test_our_weight_in_theirs(shape, dtype, block_size, doubly_quantized):
    packed, absmax = nf4_quantize(torch.randn(shape).to(dtype), block_size)
    nested, state2 = (), None
    if doubly_quantized:
        absmax, *nested = nf4_quantize_absmax(absmax)
        state2 = bnb.QuantState(absmax=nested[1], code=nested[0], blocksize=256, dtype=torch.float32)
    state = bnb.QuantState(
        absmax=absmax,
        shape=torch.Size(shape),
        code=bnb.get_4bit_type("nf4", device="cpu"),
        blocksize=block_size,
        quant_type="nf4",
        dtype=dtype,
        offset=nested[2] if nested else None,
        state2=state2,
    )
    expected = nf4_dequantize(packed, absmax, shape, block_size, dtype, *nested)
    assert torch.equal(bnb.dequantize_4bit(packed[:, None], state), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES, ids=str)
@pytest.mark.parametrize("block_size", [64, 128])
def test_both_write_the_same_bytes(shape, dtype, block_size):
    weight = torch.randn(shape).to(dtype)
    weight.view(-1)[:2] = 0
    packed, state = theirs(weight, block_size, doubly_quantized=False)
    ours = nf4_quantize(weight, block_size)
    assert torch.equal(ours[0], packed.flatten())
    assert torch.equal(ours[1], state.absmax)
    assert torch.equal(bnb.get_4bit_type("nf4", device="cpu"), reference.NF4_VALUES)


@pytest.mark.parametrize("blocks", [2, 256, 1024])
def test_both_write_the_same_bytes_of_absmax(blocks):
    """For numbers whose mean is exact in fp32: theirs is the mean in fp32, ours in double precision."""
    absmax = torch.randint(1, 1024, (blocks,)) / 1024
    weight = (torch.rand(blocks, 64) * 2 - 1) * absmax[:, None]
    weight[:, 5] = absmax
    _, state = theirs(weight, 64, doubly_quantized=True)
    codes, absmax_code, nested_absmax, offset = nf4_quantize_absmax(nf4_quantize(weight)[1])
    assert torch.equal(absmax_code, state.state2.code)
    assert torch.equal(offset, state.offset)
    assert torch.equal(codes, state.absmax)
    assert torch.equal(nested_absmax, state.state2.absmax)


@pytest.mark.parametrize("doubly_quantized", [False, True])
def test_a_state_dict_of_theirs(doubly_quantized):
    """The tensors of a checkpoint, and the numbers beside them."""
    weight = torch.randn(24, 130)
    packed, state = theirs(weight, 64, doubly_quantized)
    entries = state.as_dict()
    nested = ()
    if doubly_quantized:
        offset = torch.tensor(entries["nested_offset"])
        nested = (entries["nested_quant_map"], entries["nested_absmax"], offset, entries["nested_blocksize"])
    got = nf4_dequantize(packed, entries["absmax"], entries["shape"], entries["blocksize"], None, *nested)
    assert torch.equal(got, bnb.dequantize_4bit(packed, state))
