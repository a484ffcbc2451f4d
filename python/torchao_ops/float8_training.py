"""Training with products of 8-bit floating-point numbers: the weights stay as they are, and what is multiplied is rounded.

Micikevicius et al., FP8 Formats for Deep Learning, 2022 (arXiv 2209.05433).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .linear import SmoothedLinear
from .quantize import is_plain_linear


@dataclass(frozen=True)
class Recipe:
    """How the operands of the three products are rounded.

    granularity: of the scales, as `fp8_quantize` takes it: one for a whole operand, or one for each row or column that is
        multiplied.
    gradient_dtype: of the gradients; activations and weights are float8_e4m3fn.
    """

    granularity: str
    gradient_dtype: torch.dtype


RECIPES = {
    # Gradients have a wide range, for which one scale is not enough: they get the format with more exponents.
    "tensorwise": Recipe("tensor", torch.float8_e5m2),
    "rowwise": Recipe("row", torch.float8_e4m3fn),
}


def _product(a: Tensor, b: Tensor, recipe: Recipe, a_dtype: torch.dtype, bias: Tensor | None = None) -> Tensor:
    """a [M, K] @ b [N, K].T + bias, a and b rounded to 8 bits, in the dtype of a."""
    a_codes, a_scale = torch.ops.torchao.fp8_quantize(a, a_dtype, recipe.granularity)
    b_codes, b_scale = torch.ops.torchao.fp8_quantize(b, torch.float8_e4m3fn, recipe.granularity)
    return torch.ops.torchao.fp8_scaled_mm(a_codes, b_codes, a_scale, b_scale, bias, a.dtype)


class _Linear(torch.autograd.Function):
    """x @ w.T + bias, of which all three products are of 8 bits. Scales lie along what is not summed over, so each product rounds anew."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, recipe: Recipe) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.recipe = recipe
        return _product(x, weight, recipe, torch.float8_e4m3fn, bias)

    @staticmethod
    def backward(ctx, grad_y: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        recipe = ctx.recipe
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = _product(grad_y, weight.t(), recipe, recipe.gradient_dtype)
        if ctx.needs_input_grad[1]:
            grad_weight = _product(grad_y.t(), x.t(), recipe, recipe.gradient_dtype)
        if ctx.needs_input_grad[2]:
            grad_bias = grad_y.sum(0)
        return grad_x, grad_weight, grad_bias, None


class Float8Linear(nn.Linear):
    """A linear layer that trains with 8-bit products: y = x @ w.T and both gradients by `fp8_scaled_mm`.

    Weight and bias are those of `nn.Linear`, fp32, fp16 or bf16; under autocast the product is in its dtype.
    """

    recipe: str

    def forward(self, input: Tensor) -> Tensor:
        x, weight, bias = input, self.weight, self.bias
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        y = _Linear.apply(x.reshape(-1, self.in_features), weight, bias, RECIPES[self.recipe])
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, recipe={self.recipe!r}"


def convert_to_float8_training(
    model: nn.Module,
    recipe: str = "tensorwise",
    module_filter_fn: Callable[[nn.Module, str], bool] | None = None,
) -> nn.Module:
    """Lets the linear layers of a model train with 8-bit products, in place: forward and both gradients.

    Parameters, state dict and optimizer stay what they are. Converted are `nn.Linear` and subclasses that compute the same.

    Args:
        model: any module, or a linear layer itself.
        recipe: "tensorwise": one scale an operand, gradients in float8_e5m2; "rowwise": one scale for each row or column that
            is multiplied, everything in float8_e4m3fn: more accurate.
        module_filter_fn: called with each of these layers and its fully qualified name; returns whether to convert it.

    Returns:
        The model.

    Raises:
        ValueError: there is no such recipe.
    """
    if recipe not in RECIPES:
        known = ", ".join(f'"{name}"' for name in RECIPES)
        raise ValueError(f"convert_to_float8_training: recipe must be one of {known}, but got {recipe!r}")
    for name, module in model.named_modules():
        if not is_plain_linear(module) or isinstance(module, SmoothedLinear):
            continue
        if module_filter_fn is None or module_filter_fn(module, name):
            module.__class__ = Float8Linear
            module.recipe = recipe
    return model
