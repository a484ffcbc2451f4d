"""What PyTorch wants of a registered operator: opcheck, and gradients for x and bias."""

import pytest
import torch
from helpers import FLOAT_DTYPES, INT8_MM_OPERATORS, Int8Weight, operator
from registration import expect_gradients_of_a_dense_layer, expect_second_derivatives
from torch.library import opcheck

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("group_size", [0, 32])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("batch", [(), (3,), (2, 5)])
def test_opcheck_mm(op, dtype, group_size, with_bias, batch):
    weight = Int8Weight.random(9, 71, group_size, torch.float16)
    x = torch.randn(*batch, 71).to(dtype).requires_grad_()
    bias = torch.randn(9).requires_grad_() if with_bias else None
    opcheck(operator(op), (x, *weight.mm_args, bias), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("group_size", [0, 32])
def test_opcheck_dequantize(dtype, group_size):
    opcheck(operator("int8_dequantize"), (*Int8Weight.random(9, 71, group_size, torch.bfloat16).mm_args, dtype))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("group_size", [0, 32])
def test_opcheck_quantize(dtype, group_size):
    opcheck(operator("int8_quantize"), (torch.randn(9, 71).to(dtype), group_size))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (0,)])
@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
@pytest.mark.parametrize("group_size", [0, 32])
def test_gradients_are_those_of_a_dense_layer(op, batch, dtype, group_size):
    weight = Int8Weight.random(9, 71, group_size)
    expect_gradients_of_a_dense_layer(op, weight.mm_args, weight.exact(), batch, dtype)


@pytest.mark.parametrize("op", INT8_MM_OPERATORS)
def test_gradients_for_one_of_both_and_with_arguments_left_out(op):
    weight = Int8Weight.random(6, 40)
    x, bias = torch.randn(3, 40), torch.randn(6)
    x.requires_grad_()
    operator(op)(x, weight.codes, weight.scale).sum().backward()
    assert x.grad is not None and bias.grad is None

    x = x.detach()
    bias.requires_grad_()
    operator(op)(x, weight.codes, weight.scale, bias=bias).sum().backward()
    assert torch.equal(bias.grad, torch.full((6,), 3.0))


def test_second_derivatives():
    weight = Int8Weight.random(6, 40, 16)
    expect_second_derivatives("int8_mm", weight.mm_args, weight.exact())
