"""Quantization-aware training: a linear layer that computes what the quantized one will, with a weight that is trained."""

import torch
from torch import Tensor, nn

from .config import Config
from .linear import QuantLinear, scaled


class QATLinear(nn.Linear):
    """A linear layer whose results are, bit for bit, those of the layer that `QuantLinear.from_linear` would make of it.

    Each call quantizes the weight and calls the format's operator: there is nothing that imitates it. The gradients of x and of the bias are
    the operator's, that of the weight is grad_output^T @ x, as if rounding changed neither the weight nor, where the config rounds them,
    the activations (the straight-through estimator). The parameters, their names and the state dict are those of the dense layer.
    """

    @staticmethod
    def prepare_(linear: nn.Linear, config: Config) -> None:
        """Turns a linear layer itself into one that is trained for a config."""
        if "input_scale" not in linear._buffers:
            linear.register_buffer("input_scale", None)
        linear.__class__ = QATLinear
        linear.config = config

    def quantized(self) -> QuantLinear:
        """The quantized layer, at the present weight; it shares the bias."""
        with torch.no_grad():
            return QuantLinear.from_linear(self, self.config)

    def forward(self, input: Tensor) -> Tensor:
        y = self.quantized()(input)
        if self.input_scale is not None:
            input = scaled(input, self.input_scale)
        return _StraightThrough.apply(y, input, self.weight)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.config}"


class _StraightThrough(torch.autograd.Function):
    """y, with the gradient of the weight that made it of x."""

    @staticmethod
    def forward(ctx, y: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.weight_dtype = weight.dtype
        return y.view_as(y)

    @staticmethod
    def backward(ctx, grad_output: Tensor):
        grad_weight = None
        if ctx.needs_input_grad[2]:
            (x,) = ctx.saved_tensors
            rows, grad_rows = x.reshape(-1, x.shape[-1]), grad_output.reshape(-1, grad_output.shape[-1])
            grad_weight = (grad_rows.T @ rows).to(ctx.weight_dtype)
        return grad_output, None, grad_weight
