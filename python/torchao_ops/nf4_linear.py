"""A linear layer with an NF4 weight."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .config import Config, NF4WeightOnlyConfig
from .linear import QuantLinear, takes
from .nf4 import NESTED_BLOCK_SIZE, NF4Weight, to_nf4


@takes(NF4WeightOnlyConfig)
class NF4Linear(QuantLinear):
    """A linear layer with an NF4 weight.

    Buffers (blocks = ceil(out_features * in_features / block_size)):
        weight_packed: uint8 [ceil(out_features * in_features / 2)].
        weight_absmax: the scales, fp32 [blocks], or, doubly quantized, uint8 [blocks]; then there are also
        weight_absmax_code: fp32 [256],
        weight_nested_absmax: fp32 [ceil(blocks / 256)] and
        weight_absmax_offset: fp32 scalar.
    `.to(dtype)` leaves them alone: a rounded scale would change the weight. `weight` has the dtype of the layer.

    A state dict of bitsandbytes' Linear4bit (`weight`, `weight.absmax`, ...) loads as well, if its weight was quantized as
    `config` says.
    """

    __constants__ = [*nn.Linear.__constants__, "block_size", "weight_dtype"]
    _SCALES = ("weight_absmax", "weight_absmax_code", "weight_nested_absmax", "weight_absmax_offset")

    @staticmethod
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        return buffers_of(to_nf4(weight, config.block_size, NESTED_BLOCK_SIZE if config.double_quant else None))

    def _set_options(self, config: Config, dtype: torch.dtype) -> None:
        self.block_size = config.block_size
        self.weight_dtype = dtype

    def _dequantized_weight(self) -> Tensor:
        return torch.ops.torchao.nf4_dequantize(
            self.weight_packed,
            self.weight_absmax,
            [self.out_features, self.in_features],
            self.block_size,
            self.weight_dtype,
            self.weight_absmax_code,
            self.weight_nested_absmax,
            self.weight_absmax_offset,
        )

    def _product(self, input: Tensor) -> Tensor:
        return torch.ops.torchao.nf4_mm(
            input,
            self.weight_packed,
            self.weight_absmax,
            self.out_features,
            self.block_size,
            self.bias,
            self.weight_absmax_code,
            self.weight_nested_absmax,
            self.weight_absmax_offset,
        )

    def _format_repr(self) -> str:
        return f"nf4, block_size={self.block_size}, double_quant={self.weight_absmax_code is not None}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "NF4Linear":
        # Conversions are for numbers; seen as integers, the scales are moved and not rounded.
        scales = {name: self._buffers[name] for name in self._SCALES}
        kept = [name for name, scale in scales.items() if scale is not None and scale.dtype == torch.float32]
        for name in kept:
            self._buffers[name] = self._buffers[name].view(torch.int32)
        super()._apply(fn, recurse)
        for name in kept:
            self._buffers[name] = self._buffers[name].view(torch.float32)
        self.weight_dtype = fn(torch.empty(0, dtype=self.weight_dtype)).dtype
        return self

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        name = f"{prefix}weight"
        if f"{name}.quant_map" in state_dict:
            weight = NF4Weight.from_bitsandbytes(state_dict, name)
            for key in [key for key in state_dict if key == name or key.startswith(f"{name}.")]:
                del state_dict[key]
            found = NF4WeightOnlyConfig(weight.block_size, weight.absmax_code is not None)
            if found != self.config or weight.nested_block_size != NESTED_BLOCK_SIZE:
                error_msgs.append(f"{name} must be quantized with {self.config}, but the state dict's was with {found}")
            else:
                state_dict.update(
                    {prefix + key: value for key, value in buffers_of(weight).items() if value is not None}
                )
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def buffers_of(weight: NF4Weight) -> dict[str, Tensor | None]:
    return {
        "weight_packed": weight.packed,
        "weight_absmax": weight.absmax,
        "weight_absmax_code": weight.absmax_code,
        "weight_nested_absmax": weight.nested_absmax,
        "weight_absmax_offset": weight.absmax_offset,
    }
