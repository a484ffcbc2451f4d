"""What both quantizers do to the layers of a model."""

from collections.abc import Callable

import torch
from torch import nn

from ..config import Config
from ..linear import QuantLinear
from ..quantize import is_plain_linear, parameter_owners


def layers_to_quantize(model: nn.Module, config_of: Callable[[str], Config | None]) -> dict[str, Config]:
    """By name, those that `quantize_` would convert and that have a config; a weight that others share stays dense."""
    owners = parameter_owners(model)
    configs = {
        name: config_of(name)
        for name, module in model.named_modules()
        if is_plain_linear(module) and owners[id(module.weight)] == 1
    }
    return {name: config for name, config in configs.items() if config is not None}


@torch.no_grad()
def to_dense_(layer: QuantLinear, dtype: torch.dtype | None = None) -> None:
    """Turns a quantized layer itself into a dense one, with the dequantized weight."""
    weight = layer.weight
    for name in list(layer._buffers):
        delattr(layer, name)
    layer.__class__ = nn.Linear
    layer.weight = nn.Parameter(weight.to(dtype or weight.dtype))
