"""Strides, runs and threads change no bit of a result, and no operand."""

from dataclasses import replace

import pytest
import torch
from helpers import FLOAT_DTYPES, Nf4Weight
from layouts import LAYOUTS, offset_by_one_element
from torch import Tensor
from torchao_ops import nf4_dequantize, nf4_mm, nf4_mm_backward, nf4_quantize, nf4_quantize_absmax

pytestmark = pytest.mark.usefixtures("device")


def every_second(tensor: Tensor) -> Tensor:
    wide = torch.full((2 * len(tensor),), 7, dtype=tensor.dtype)
    wide[::2] = tensor
    return wide[::2]


def offset(tensor: Tensor) -> Tensor:
    return offset_by_one_element(tensor[None])[0]


def expanded(tensor: Tensor) -> Tensor:
    return tensor[:1].expand(tensor.shape)


def column_of_a_matrix(tensor: Tensor) -> Tensor:
    """[n, 1] of which the elements lie apart."""
    return torch.stack((tensor, tensor + 1), dim=1)[:, :1]


FLAT_LAYOUTS = [every_second, offset, expanded]
WEIGHT_LAYOUTS = [
    *(("packed", layout) for layout in (*FLAT_LAYOUTS, column_of_a_matrix)),
    *((name, layout) for name in ("absmax", "absmax_code", "nested_absmax") for layout in FLAT_LAYOUTS),
    ("absmax_offset", lambda tensor: torch.stack((tensor, tensor + 1))[:1]),
    ("absmax_offset", lambda tensor: torch.stack((tensor, tensor + 1))[0]),
]


def results(weight: Nf4Weight, x: Tensor, grad: Tensor, bias: Tensor | None = None) -> list[Tensor]:
    return [
        nf4_mm(x, *weight.mm_args(bias)),
        nf4_mm_backward(grad, *weight.backward_args),
        nf4_dequantize(*weight.dequantize_args()),
    ]


def assert_equal(got: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.is_contiguous()
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("absmax_dtype", [*FLOAT_DTYPES, torch.uint8])
@pytest.mark.parametrize("name, layout", WEIGHT_LAYOUTS)
@pytest.mark.parametrize("in_features", [131, 128])
def test_a_strided_weight_is_bitwise_a_contiguous_one(absmax_dtype, name, layout, in_features):
    weight = Nf4Weight.random(41, in_features, 32, absmax_dtype, nested_block_size=16)
    if getattr(weight, name) is None:
        assert absmax_dtype != torch.uint8
        return
    strided = layout(getattr(weight, name))
    before = strided.clone()
    x, grad = torch.randn(3, in_features), torch.randn(3, 41)
    got = results(replace(weight, **{name: strided}), x, grad)
    assert_equal(got, results(replace(weight, **{name: strided.contiguous()}), x, grad))
    assert torch.equal(strided, before)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [2, 37])
@pytest.mark.parametrize("in_features", [131, 128])
def test_mm_is_bitwise_that_of_contiguous_activations(dtype, layout, rows, in_features):
    weight = Nf4Weight.random(41, in_features)
    x, grad = layout(torch.randn(rows, in_features).to(dtype)), layout(torch.randn(rows, 41).to(dtype))
    before = x.clone(), grad.clone()
    assert_equal(results(weight, x, grad), results(weight, x.contiguous(), grad.contiguous()))
    assert torch.equal(x, before[0]) and torch.equal(grad, before[1])


@pytest.mark.parametrize("rows", [2, 37])
def test_a_bias_of_any_stride(rows):
    weight, x = Nf4Weight.random(41, 131), torch.randn(rows, 131)
    for bias in (torch.rand(82)[::2], torch.rand(1).expand(41), torch.rand(42)[1:]):
        assert torch.equal(nf4_mm(x, *weight.mm_args(bias)), nf4_mm(x, *weight.mm_args(bias.contiguous())))


def test_strided_leading_dimensions():
    weight = Nf4Weight.random(64, 64)
    for x in (
        torch.randn(5, 3, 64).transpose(0, 1),
        torch.randn(64, 3, 5).permute(2, 1, 0),
        torch.randn(3, 1, 64).expand(3, 4, 64),
        torch.randn(2, 3, 5, 65)[:, ::2, :, 1:],
    ):
        assert_equal(results(weight, x, x), results(weight, x.contiguous(), x.contiguous()))


def test_a_lazily_negated_view():
    # The imaginary part of a conjugate is a view with the negative bit set: its memory holds the wrong signs.
    weight = Nf4Weight.random(64, 64)
    x = torch.randn(3, 64, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    assert_equal(results(weight, x, x), results(weight, x.clone(), x.clone()))
    absmax = torch.randn(64, dtype=torch.complex64).conj().imag
    assert_equal(results(replace(weight, absmax=absmax), x, x), results(replace(weight, absmax=absmax.clone()), x, x))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_quantize_is_bitwise_that_of_a_contiguous_weight(layout, dtype):
    weight = layout(torch.randn(13, 131).to(dtype))
    assert_equal(nf4_quantize(weight), nf4_quantize(weight.contiguous()))
    for shape in ((1, 1703), (13, 131)):
        absmax = layout(torch.rand(shape).to(dtype))[0]
        assert_equal(nf4_quantize_absmax(absmax), nf4_quantize_absmax(absmax.contiguous()))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("shape", [(13, 131), (3, 4, 32)])
def test_an_out_of_any_stride(dtype, shape):
    weight = Nf4Weight.random(shape[0], torch.Size(shape[1:]).numel())
    expected = nf4_dequantize(weight.packed, weight.absmax, shape, dtype=dtype)
    wide = torch.full((*shape[:-1], 2 * shape[-1] + 1), 7, dtype=dtype)
    for out in (wide[..., ::2][..., :-1], wide[..., 1::2], wide[..., : shape[-1]], torch.empty_like(expected.mT).mT):
        assert nf4_dequantize(weight.packed, weight.absmax, shape, out=out) is out
        assert torch.equal(out, expected)
    # No view has the last column.
    assert (wide[..., -1] == 7).all()


def test_an_out_in_the_memory_of_an_operand():
    """All is read before anything is written."""
    weight = Nf4Weight.random(64, 64)
    expected = nf4_dequantize(*weight.dequantize_args())
    memory = torch.empty(4 * 4096, dtype=torch.uint8)
    memory[-2048:] = weight.packed
    out = memory.view(torch.float32).view(64, 64)
    assert torch.equal(nf4_dequantize(memory[-2048:], weight.absmax, [64, 64], out=out), expected)

    memory = torch.empty(4096)
    memory[100:164] = weight.absmax
    out = memory.view(64, 64)
    assert torch.equal(nf4_dequantize(weight.packed, memory[100:164], [64, 64], out=out), expected)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", [1, 4, 33, 200])
@pytest.mark.parametrize("in_features", [390, 384])
def test_results_are_the_same_for_every_run_and_thread_count(dtype, rows, in_features):
    weight, x = Nf4Weight.random(517, in_features), torch.randn(rows, in_features).to(dtype)
    grad, bias = torch.randn(rows, 517).to(dtype), torch.randn(517)
    torch.set_num_threads(1)
    expected = results(weight, x, grad, bias)
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        for _ in range(3):
            assert_equal(results(weight, x, grad, bias), expected)


def test_quantize_is_the_same_for_every_thread_count():
    weight, absmax = torch.randn(517, 3900), torch.rand(700_001)
    torch.set_num_threads(1)
    quantized, nested = nf4_quantize(weight), nf4_quantize_absmax(absmax)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        assert_equal(nf4_quantize(weight), quantized)
        assert_equal(nf4_quantize_absmax(absmax), nested)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 41, 131), (37, 130, 64), (2, 5, 0)])
def test_every_element_of_a_result_is_written(shape):
    """In deterministic mode torch fills fresh memory with NaN, or the largest integer."""
    rows, out_features, in_features = shape
    x, weight, bias = torch.randn(rows, in_features), torch.randn(out_features, in_features), torch.randn(out_features)

    def everything() -> list[Tensor]:
        packed, absmax = nf4_quantize(weight)
        nested = nf4_quantize_absmax(absmax)
        quantized = Nf4Weight(packed, nested[0], out_features, in_features, 64, *nested[1:])
        return [packed, absmax, *nested, *results(quantized, x, torch.randn(rows, 1).expand(rows, out_features), bias)]

    torch.manual_seed(1)
    expected = everything()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        torch.manual_seed(1)
        filled = everything()
    finally:
        torch.use_deterministic_algorithms(False)
    assert_equal(filled, expected)
