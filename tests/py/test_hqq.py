"""qparams="hqq": zero points that fit the weight better than those of the operator, in the same format."""

import pytest
import reference
import torch
from helpers import FLOAT_DTYPES
from torch import nn
from torchao_ops import (
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt4WeightConfig,
    QuantLinear,
    hqq,
    int4_dequantize,
    int4_quantize,
    quantize_,
)
from torchao_ops.hqq import int4_quantize_hqq

pytestmark = pytest.mark.usefixtures("device")


def losses(weight: torch.Tensor, quantized: tuple[torch.Tensor, ...], group_size: int) -> torch.Tensor:
    """Of each group: the sum of |error|^0.7, with errors in units of the scale."""
    packed, scale, zero_point = (tensor.cpu() for tensor in quantized)
    columns = reference.group_of_column(weight.shape[1], group_size)
    dequantized = reference.dequantize(packed, scale, zero_point, group_size, weight.shape[1])
    error = ((weight.cpu().double() - dequantized) / scale.double()[:, columns]).abs() ** 0.7
    return torch.stack([error[:, columns == group].sum(1) for group in range(scale.shape[1])], dim=1)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize(
    "shape, group_size", [((9, 70), 32), ((9, 96), 32), ((7, 35), 5), ((40, 33), 100), ((5, 7), 1)]
)
def test_every_group_is_at_least_as_near(shape, group_size, dtype):
    weight = torch.randn(shape).to(dtype)
    fitted, plain = int4_quantize_hqq(weight, group_size), int4_quantize(weight, group_size)
    assert [tensor.shape for tensor in fitted] == [tensor.shape for tensor in plain]
    assert [tensor.dtype for tensor in fitted] == [torch.uint8, dtype, dtype]
    assert torch.equal(fitted[1], plain[1])
    after, before = losses(weight, fitted, group_size), losses(weight, plain, group_size)
    # The operator rounds a weight and its zero point one after the other, here it is their sum that is rounded.
    assert (after <= before * (1 + 1e-5) + 1e-3).all()
    if group_size > 1:
        assert after.sum() < 0.97 * before.sum()


def test_codes_are_the_nearest_to_the_stored_zero_points():
    weight = torch.randn(16, 70).bfloat16()
    packed, scale, zero_point = int4_quantize_hqq(weight, 32)
    columns = reference.group_of_column(70, 32)
    exact = weight.cpu().double() / scale.cpu().double()[:, columns] + zero_point.cpu().double()[:, columns]
    codes = reference.unpack(packed, 70).double()
    assert ((codes - exact.clamp(0, 15)).abs() <= 0.5 + 1e-3).all()
    assert (zero_point.float() != zero_point.float().round()).any()


def test_what_a_symmetric_distribution_with_an_outlier_gains():
    """min and max place the zero point by two weights, of which one is an outlier; most of the others lie elsewhere."""
    weight = torch.randn(64, 128).abs() * 0.3 + 1
    weight[:, 5] = -3
    error = {}
    for qparams in ("minmax", "hqq"):
        layer = nn.Linear(128, 64)
        layer.weight.data = weight.clone()
        quantize_(layer, Int4WeightOnlyConfig(qparams=qparams))
        error[qparams] = (layer.weight - weight).abs().mean()
    assert error["hqq"] < 0.95 * error["minmax"]


def test_zeros_nan_and_inf():
    weight = torch.randn(4, 70)
    weight[0, :32] = 0
    weight[1, 40] = float("nan")
    weight[2, 69] = float("inf")
    dequantized = int4_dequantize(*int4_quantize_hqq(weight, 32), 32, 70)
    assert (dequantized[0, :32] == 0).all()
    assert dequantized[1].isnan().nonzero().flatten().tolist() == list(range(32, 64))
    assert dequantized[2].isnan().nonzero().flatten().tolist() == list(range(64, 70))
    assert not dequantized[3].isnan().any()


@pytest.mark.parametrize("shape", [(0, 8), (5, 0)])
def test_empty_weights(shape):
    fitted, plain = int4_quantize_hqq(torch.randn(shape), 4), int4_quantize(torch.randn(shape), 4)
    assert [tensor.shape for tensor in fitted] == [tensor.shape for tensor in plain]


def test_the_size_of_a_piece_changes_nothing(monkeypatch):
    weight = torch.randn(50, 70)
    expected = int4_quantize_hqq(weight, 32)
    monkeypatch.setattr(hqq, "_NUMBERS_AT_A_TIME", 300)
    assert all(torch.equal(*pair) for pair in zip(int4_quantize_hqq(weight, 32), expected, strict=True))
    # A power of two scales the weight and nothing else.
    packed, scale, zero_point = int4_quantize_hqq(weight / 64, 32)
    assert torch.equal(packed, expected[0]) and torch.equal(scale * 64, expected[1])
    assert torch.equal(zero_point, expected[2])


@pytest.mark.parametrize("config_class", [Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig])
def test_layers(config_class):
    config = config_class(group_size=32, qparams="hqq")
    linear, x = nn.Linear(70, 48), torch.randn(3, 70)
    layer = QuantLinear.from_linear(linear, config)
    packed, scale, zero_point = int4_quantize_hqq(linear.weight, 32)
    assert torch.equal(layer.weight_packed, packed) and torch.equal(layer.weight_zero_point, zero_point)
    assert reference.relative_error(layer(x), linear(x)) < 0.12
    # Loads as any other, on meta too.
    empty = type(layer)(70, 48, device="meta", config=config)
    empty.load_state_dict(layer.state_dict(), assign=True)
    assert torch.equal(empty(x), layer(x))


@pytest.mark.parametrize("config_class", [Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig])
def test_wrong_qparams(config_class):
    name = config_class.__name__
    with pytest.raises(ValueError) as error:
        config_class(qparams="gptq")
    assert str(error.value) == f'{name}: qparams must be "minmax" or "hqq", but got \'gptq\''
    with pytest.raises(ValueError) as error:
        config_class(symmetric=True, qparams="hqq")
    assert str(error.value) == (
        f'{name}: symmetric must be False with qparams="hqq", which chooses zero points, but got True'
    )
