"""A linear layer with a 2:4 sparse weight."""

import warnings

import torch
from torch import Tensor, nn

from .config import Config, Int8DynamicActivationInt8SemiSparseWeightConfig, SemiSparseWeightConfig
from .linear import QuantLinear, takes


@takes(SemiSparseWeightConfig, Int8DynamicActivationInt8SemiSparseWeightConfig)
class Sparse24Linear(QuantLinear):
    """A linear layer with a 2:4 sparse weight.

    Buffers (N = out_features, K = in_features):
        weight_values: [N, 2 * ceil(K / 4)], the kept weights; fp32, fp16 or bf16, which `.to(dtype)` converts; or int8.
        weight_bitmask: uint8 [N, ceil(K / 8)], which ones are kept.
        weight_scale: [N] for int8, else None.
    """

    __constants__ = [*nn.Linear.__constants__, "dynamic_activations"]

    @staticmethod
    @torch.no_grad()
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        mask = torch.ops.torchao.sparse24_prune(weight)
        if not weight.is_meta and weight.masked_select(~mask).count_nonzero():
            warnings.warn(
                f"{type(config).__name__}: a weight was not 2:4 sparse and has been pruned by magnitude, which costs much "
                "accuracy: prune with WandaSparsifier or fine-tune under a sparsifier before",
                stacklevel=2,
            )
        if not isinstance(config, Int8DynamicActivationInt8SemiSparseWeightConfig):
            values, bitmask = torch.ops.torchao.sparse24_compress(weight, mask)
            return {"weight_values": values, "weight_bitmask": bitmask, "weight_scale": None}
        codes, scale = torch.ops.torchao.int8_quantize(weight.masked_fill(~mask, 0))
        values, bitmask = torch.ops.torchao.sparse24_compress(codes, mask)
        return {"weight_values": values, "weight_bitmask": bitmask, "weight_scale": scale}

    def _set_options(self, config: Config, dtype: torch.dtype) -> None:
        self.dynamic_activations = isinstance(config, Int8DynamicActivationInt8SemiSparseWeightConfig)

    def _dequantized_weight(self) -> Tensor:
        weight = torch.ops.torchao.sparse24_decompress(self.weight_values, self.weight_bitmask, self.in_features)
        return weight if self.weight_scale is None else weight * self.weight_scale.unsqueeze(1)

    def _product(self, input: Tensor) -> Tensor:
        if self.dynamic_activations:
            return torch.ops.torchao.sparse24_dynamic_mm(
                input, self.weight_values, self.weight_bitmask, self.weight_scale, self.bias
            )
        return torch.ops.torchao.sparse24_mm(
            input, self.weight_values, self.weight_bitmask, self.weight_scale, self.bias
        )

    def _format_repr(self) -> str:
        return f"sparse24, values={self.weight_values.dtype}, dynamic_activations={self.dynamic_activations}"
