"""A linear layer with an int8 weight."""

import torch
from torch import Tensor, nn

from .config import Config, Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig
from .linear import QuantLinear, takes


def _group_size(config: Config) -> int:
    """As the operators take it: 0 is one scale a row."""
    return getattr(config, "group_size", None) or 0


@takes(Int8WeightOnlyConfig, Int8DynamicActivationInt8WeightConfig)
class Int8Linear(QuantLinear):
    """A linear layer with an int8 weight.

    Buffers (N = out_features, K = in_features, G = ceil(K / group_size)):
        weight_codes: int8 [N, K]. (compressed-tensors calls them `weight`, which here is the dequantized weight.)
        weight_scale: [N], or [N, G] with a group size; fp32, fp16 or bf16; `.to(dtype)` converts it and leaves the codes alone.
    """

    __constants__ = [*nn.Linear.__constants__, "group_size", "dynamic_activations"]

    @staticmethod
    @torch.no_grad()
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        codes, scale = torch.ops.torchao.int8_quantize(weight, _group_size(config))
        return {"weight_codes": codes, "weight_scale": scale}

    def _set_options(self, config: Config, dtype: torch.dtype) -> None:
        self.group_size = _group_size(config)
        self.dynamic_activations = isinstance(config, Int8DynamicActivationInt8WeightConfig)

    def _dequantized_weight(self) -> Tensor:
        return torch.ops.torchao.int8_dequantize(self.weight_codes, self.weight_scale, self.group_size)

    def _product(self, input: Tensor) -> Tensor:
        if self.dynamic_activations:
            return torch.ops.torchao.int8_dynamic_mm(
                input, self.weight_codes, self.weight_scale, self.group_size, self.bias
            )
        return torch.ops.torchao.int8_mm(input, self.weight_codes, self.weight_scale, self.group_size, self.bias)

    def _format_repr(self) -> str:
        group_size = self.group_size or None
        return f"int8, {group_size=}, dynamic_activations={self.dynamic_activations}"
