"""A linear layer with an 8-bit floating-point weight."""

import torch
from torch import Tensor, nn

from .config import Config, Float8DynamicActivationFloat8WeightConfig, Float8WeightOnlyConfig
from .linear import QuantLinear, takes


@takes(Float8WeightOnlyConfig, Float8DynamicActivationFloat8WeightConfig)
class Fp8Linear(QuantLinear):
    """A linear layer with an 8-bit floating-point weight. (For training in 8 bits: `convert_to_float8_training`.)

    Buffers (N = out_features, K = in_features):
        weight_codes: float8_e4m3fn or float8_e5m2 [N, K], which `.to(dtype)` leaves alone. (compressed-tensors calls them
            `weight`, which here is the dequantized weight.)
        weight_scale: [], [N], or [ceil(N / 128), ceil(K / 128)]; fp32, fp16 or bf16, which `.to(dtype)` converts.
    """

    __constants__ = [*nn.Linear.__constants__, "dynamic_activations"]

    @staticmethod
    @torch.no_grad()
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        codes, scale = torch.ops.torchao.fp8_quantize(weight, config.weight_dtype, config.granularity.name)
        return {"weight_codes": codes, "weight_scale": scale}

    def _set_options(self, config: Config, dtype: torch.dtype) -> None:
        self.dynamic_activations = isinstance(config, Float8DynamicActivationFloat8WeightConfig)

    def _apply(self, fn, recurse=True):
        # To nn.Module the codes are floating-point numbers like others, and it would convert them.
        def unless_codes(tensor: Tensor) -> Tensor:
            if tensor is not self.weight_codes:
                return fn(tensor)
            bytes_ = tensor.view(torch.uint8)
            moved = fn(bytes_)
            return tensor if moved is bytes_ else moved.view(tensor.dtype)

        return super()._apply(unless_codes, recurse)

    def _dequantized_weight(self) -> Tensor:
        return torch.ops.torchao.fp8_dequantize(self.weight_codes, self.weight_scale)

    def _product(self, input: Tensor) -> Tensor:
        if self.dynamic_activations:
            return torch.ops.torchao.fp8_dynamic_mm(input, self.weight_codes, self.weight_scale, self.bias)
        return torch.ops.torchao.fp8_mm(input, self.weight_codes, self.weight_scale, self.bias)

    def _format_repr(self) -> str:
        granularity = self.config.granularity
        return f"{self.config.weight_dtype}, {granularity=}, dynamic_activations={self.dynamic_activations}"
