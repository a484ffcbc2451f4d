"""A linear layer with an int4 weight."""

import torch
from torch import Tensor, nn

from .config import Config, Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig
from .hqq import int4_quantize_hqq
from .linear import QuantLinear, takes


@takes(Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig)
class Int4Linear(QuantLinear):
    """A linear layer with an int4 weight.

    Buffers (N = out_features, K = in_features, G = ceil(K / group_size)):
        weight_packed: uint8 [N, ceil(K / 2)], element 2j of a row in the low nibble of byte j.
        weight_scale: [N, G], fp32, fp16 or bf16; `.to(dtype)` converts it and leaves weight_packed alone.
        weight_zero_point: as weight_scale, or None for a symmetric weight (then it is 8 and not in the state dict).
    """

    __constants__ = [*nn.Linear.__constants__, "group_size", "dynamic_activations"]
    # The buffers are not annotated: one annotated Optional[Tensor] is no buffer to TorchScript, nor in its state dict.

    @staticmethod
    @torch.no_grad()
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        if config.qparams == "hqq":
            packed, scale, zero_point = int4_quantize_hqq(weight, config.group_size)
        else:
            packed, scale, zero_point = torch.ops.torchao.int4_quantize(weight, config.group_size, config.symmetric)
        return {
            "weight_packed": packed,
            "weight_scale": scale,
            "weight_zero_point": None if config.symmetric else zero_point,
        }

    def _set_options(self, config: Config, dtype: torch.dtype) -> None:
        self.group_size = config.group_size
        self.dynamic_activations = isinstance(config, Int8DynamicActivationInt4WeightConfig)

    def _dequantized_weight(self) -> Tensor:
        return torch.ops.torchao.int4_dequantize(
            self.weight_packed, self.weight_scale, self.weight_zero_point, self.group_size, self.in_features
        )

    def _product(self, input: Tensor) -> Tensor:
        if self.dynamic_activations:
            return torch.ops.torchao.int4_dynamic_mm(
                input, self.weight_packed, self.weight_scale, self.weight_zero_point, self.group_size, self.bias
            )
        return torch.ops.torchao.int4_mm(
            input, self.weight_packed, self.weight_scale, self.weight_zero_point, self.group_size, self.bias
        )

    def _format_repr(self) -> str:
        symmetric = self.weight_zero_point is None
        return f"int4, group_size={self.group_size}, {symmetric=}, dynamic_activations={self.dynamic_activations}"
