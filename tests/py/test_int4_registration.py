"""What PyTorch wants of a registered operator: opcheck, and gradients for x and bias."""

import pytest
import torch
from helpers import FLOAT_DTYPES, MM_OPERATORS, Int4Weight, operator
from registration import expect_gradients_of_a_dense_layer, expect_second_derivatives
from torch.library import opcheck

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("op", MM_OPERATORS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("zero_point_dtype", [None, torch.float32])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("batch", [(), (3,), (2, 5)])
def test_opcheck_mm(op, dtype, zero_point_dtype, with_bias, batch):
    weight = Int4Weight.random(9, 71, 32, torch.float16, zero_point_dtype)
    x = torch.randn(*batch, 71).to(dtype).requires_grad_()
    bias = torch.randn(9).requires_grad_() if with_bias else None
    opcheck(operator(op), (x, *weight.mm_args, bias), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("dtype", [None, *FLOAT_DTYPES])
@pytest.mark.parametrize("zero_point_dtype", [None, torch.float32])
def test_opcheck_dequantize(dtype, zero_point_dtype):
    weight = Int4Weight.random(9, 71, 32, torch.bfloat16, zero_point_dtype)
    opcheck(operator("int4_dequantize"), (*weight.dequantize_args, dtype))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_opcheck_quantize(dtype, symmetric):
    opcheck(operator("int4_quantize"), (torch.randn(9, 71).to(dtype), 32, symmetric))


def test_opcheck_capabilities():
    # The remaining check compares results, and has no way to compare strings.
    opcheck(operator("capabilities"), (), test_utils=("test_schema", "test_autograd_registration", "test_faketensor"))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (0,)])
@pytest.mark.parametrize("op", MM_OPERATORS)
def test_gradients_are_those_of_a_dense_layer(op, batch, dtype):
    weight = Int4Weight.random(9, 71, 32)
    expect_gradients_of_a_dense_layer(op, weight.mm_args, weight.exact(), batch, dtype)


@pytest.mark.filterwarnings("ignore:Input #. requires gradient and is not a double precision")
def test_gradients_by_finite_differences():
    # The product is linear in x and bias, so a wide step has no truncation error.
    weight = Int4Weight.random(6, 40, 16)
    x, bias = torch.randn(3, 40), torch.randn(6)

    def loss(x, bias):
        return (torch.ops.torchao.int4_mm(x, *weight.mm_args, bias) * torch.arange(18.0).reshape(3, 6)).sum()

    torch.autograd.gradcheck(
        loss, (x.requires_grad_(), bias.requires_grad_()), eps=0.5, atol=1e-2, rtol=1e-3, nondet_tol=0
    )


@pytest.mark.parametrize("op", MM_OPERATORS)
def test_gradients_for_one_of_both(op):
    weight = Int4Weight.random(6, 40, 16)
    x, bias = torch.randn(3, 40), torch.randn(6)
    x.requires_grad_()
    operator(op)(x, *weight.mm_args, bias).sum().backward()
    assert x.grad is not None and bias.grad is None

    x = x.detach()
    bias.requires_grad_()
    operator(op)(x, *weight.mm_args, bias).sum().backward()
    assert torch.equal(bias.grad, torch.full((6,), 3.0))


def test_second_derivatives():
    weight = Int4Weight.random(6, 40, 16)
    expect_second_derivatives("int4_mm", weight.mm_args, weight.exact())


def test_bias_gradient_is_summed_in_float32():
    # 4096 + 1 is not a bfloat16: a running bfloat16 sum would stop growing at 256.
    weight = Int4Weight.random(2, 32, 32)
    bias = torch.zeros(2, requires_grad=True)
    operator("int4_mm")(torch.randn(4097, 32).bfloat16(), *weight.mm_args, bias).sum().backward()
    assert bias.grad.tolist() == [4097, 4097]
