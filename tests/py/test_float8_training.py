"""Training with 8-bit products: what the three products are, and that a model learns as it does in bf16."""

import copy

import pytest
import reference
import torch
from torch import nn
from torchao_ops import Float8Linear, convert_to_float8_training, fp8_dequantize, fp8_quantize, smoothquant
from torchao_ops.float8_training import RECIPES

DTYPES = [torch.float32, torch.bfloat16]


def rounded(matrix: torch.Tensor, recipe, dtype: torch.dtype) -> torch.Tensor:
    return fp8_dequantize(*fp8_quantize(matrix, dtype, recipe.granularity), torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RECIPES)
def test_all_three_products_are_of_rounded_operands(name, dtype):
    recipe, e4m3 = RECIPES[name], torch.float8_e4m3fn
    layer = convert_to_float8_training(nn.Linear(70, 48, dtype=dtype), name)
    x = torch.randn(2, 9, 70).to(dtype).requires_grad_()
    grad = torch.randn(2, 9, 48).to(dtype)
    y = layer(x)
    y.backward(grad)
    rows, grad_rows = x.detach().view(18, 70), grad.view(18, 48)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    expected = rounded(rows, recipe, e4m3) @ rounded(weight, recipe, e4m3).T + bias.float()
    eps = torch.finfo(dtype).eps
    assert y.dtype == x.grad.dtype == layer.weight.grad.dtype == dtype
    assert reference.relative_error(y.view(18, 48), expected) < eps
    gradient = recipe.gradient_dtype
    expected = rounded(grad_rows, recipe, gradient) @ rounded(weight.T, recipe, e4m3).T
    assert reference.relative_error(x.grad.view(18, 70), expected) < eps
    expected = rounded(grad_rows.T, recipe, gradient) @ rounded(rows.T, recipe, e4m3).T
    assert reference.relative_error(layer.weight.grad, expected) < eps
    torch.testing.assert_close(layer.bias.grad, grad_rows.sum(0))


def test_rows_are_rounded_better_than_whole_operands():
    dense, x = nn.Linear(256, 128, bias=False), torch.randn(64, 256) * torch.logspace(-4, 2, 64).unsqueeze(1)
    errors = [
        (
            (convert_to_float8_training(copy.deepcopy(dense), name)(x) - dense(x)).norm(dim=1) / dense(x).norm(dim=1)
        ).max()
        for name in RECIPES
    ]
    assert errors[1] < 0.1 and errors[1] < 0.5 * errors[0]


def test_what_is_converted():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4, bias=False), nn.LayerNorm(4))
    model[0].note = "mine"
    parameters = list(model.parameters())
    assert convert_to_float8_training(model, "rowwise", lambda module, name: name == "0") is model
    assert type(model[0]) is Float8Linear and type(model[2]) is nn.Linear
    assert model[0].note == "mine"
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert model.state_dict().keys() == {"0.weight", "0.bias", "2.weight", "3.weight", "3.bias"}
    assert "recipe='rowwise'" in repr(model[0])
    convert_to_float8_training(model)
    assert type(model[2]) is Float8Linear and model[0].recipe == "rowwise"


def test_a_smoothed_layer_stays():
    model = nn.Linear(8, 8)
    smoothquant(model, [torch.randn(4, 8)])
    assert type(convert_to_float8_training(model)) is not Float8Linear


def test_an_unknown_recipe():
    with pytest.raises(ValueError) as error:
        convert_to_float8_training(nn.Linear(8, 8), "rows")
    assert str(error.value) == (
        'convert_to_float8_training: recipe must be one of "tensorwise", "rowwise", but got \'rows\''
    )


@pytest.mark.parametrize("name", RECIPES)
def test_autocast(name):
    layer, x = convert_to_float8_training(nn.Linear(70, 48), name), torch.randn(9, 70)
    expected = convert_to_float8_training(copy.deepcopy(layer).bfloat16(), name)(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert reference.relative_error(y, expected) < torch.finfo(torch.bfloat16).eps
    y.sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_frozen_weights_and_inputs_get_no_gradient():
    layer = convert_to_float8_training(nn.Linear(70, 48))
    layer.weight.requires_grad_(False)
    layer(torch.randn(9, 70)).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None


def test_compile():
    model = convert_to_float8_training(nn.Sequential(nn.Linear(70, 48), nn.GELU(), nn.Linear(48, 33)))
    x = torch.randn(9, 70)
    model(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    torch.compile(model, fullgraph=True, backend="aot_eager")(x).square().sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def trained(recipe: str | None) -> list[float]:
    """The losses of a small model that learns to be another one."""
    torch.manual_seed(1)
    teacher = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 16))
    model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 16))
    if recipe is not None:
        convert_to_float8_training(model, recipe)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        x = torch.randn(64, 64)
        target = teacher(x).detach()
        with torch.autocast("cpu", torch.bfloat16):
            y = model(x)
        loss = (y.float() - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_loss_falls_as_in_bf16():
    curves = {name: trained(name) for name in (None, *RECIPES)}
    for name, losses in curves.items():
        print(f"{name or 'bf16':10}", *(f"{sum(losses[i : i + 10]) / 10:.4f}" for i in range(0, 150, 10)))
    bf16 = curves.pop(None)
    assert sum(bf16[-10:]) < 0.2 * sum(bf16[:10])
    for losses in curves.values():
        # Curves together, in each tenth of the training.
        for i in range(0, 150, 15):
            assert sum(losses[i : i + 15]) < 1.1 * sum(bf16[i : i + 15])
