"""A linear layer with a 2:4 sparse weight."""

import warnings

import torch
from torch import Tensor, nn

from . import cusparselt
from .config import Config, Int8DynamicActivationInt8SemiSparseWeightConfig, SemiSparseWeightConfig
from .linear import QuantLinear, takes

# Up to as many rows of x the plain operators read the weight as it is (csrc/cuda/mm_choice.h).
_MOST_ROWS_PLAIN = 128


@takes(SemiSparseWeightConfig, Int8DynamicActivationInt8SemiSparseWeightConfig)
class Sparse24Linear(QuantLinear):
    """A linear layer with a 2:4 sparse weight.

    Buffers (N = out_features, K = in_features):
        weight_values: [N, 2 * ceil(K / 4)], the kept weights; fp32, fp16 or bf16, which `.to(dtype)` converts; or int8.
        weight_bitmask: uint8 [N, ceil(K / 8)], which ones are kept.
        weight_scale: [N] for int8, else None.

    On CUDA many rows of x are multiplied by cuSPARSELt, where the process has it, with a second copy of the weight in its layout: made at the
    first such product, and again when the weight is another; neither saved, nor copied, nor a buffer. Compiled, exported and scripted layers
    call the plain operators.
    """

    __constants__ = [*nn.Linear.__constants__, "dynamic_activations"]
    __jit_ignored_attributes__ = ["_packed"]
    _packed: cusparselt.PackedWeight | None = None

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

    def _set_weight(self, config: Config, weight: dict[str, Tensor | None], dtype: torch.dtype) -> None:
        self._packed = None
        super()._set_weight(config, weight, dtype)

    # A copy that is of no use any more is not kept until the next product.
    def _apply(self, fn, recurse=True):
        self._packed = None
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *arguments) -> None:
        self._packed = None
        super()._load_from_state_dict(*arguments)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_packed": None}

    @torch.jit.unused
    def _packed_for(self, input: Tensor) -> Tensor | None:
        """The weight in cuSPARSELt's layout, if it is to multiply this input."""
        values, bitmask = self.weight_values, self.weight_bitmask
        if (
            input.numel() <= _MOST_ROWS_PLAIN * self.in_features
            or type(input) is not Tensor
            or type(values) is not Tensor
            or values.is_inference()  # nobody could say whether they have changed
            or not cusparselt.is_available(values.device)
            or not (self.dynamic_activations or self._takes_exact_cusparselt(input))
        ):
            return None
        if self._packed is None or not self._packed.is_of(values, bitmask):
            self._packed = None
            if not cusparselt.can_pack_now(values.device):
                return None
            self._packed = cusparselt.PackedWeight(values, bitmask, self.in_features)
        return self._packed.packed

    def _takes_exact_cusparselt(self, input: Tensor) -> bool:
        needs_gradient = input.requires_grad or (self.bias is not None and self.bias.requires_grad)
        return (
            input.dtype in (torch.float16, torch.bfloat16)
            and input.dtype == self.weight_values.dtype
            and not (needs_gradient and torch.is_grad_enabled())
            and not cusparselt.is_batch_invariant()
        )

    def _product(self, input: Tensor) -> Tensor:
        if not torch.jit.is_scripting() and not torch.compiler.is_compiling():
            packed = self._packed_for(input)
            if packed is not None:
                if self.dynamic_activations:
                    return torch.ops.torchao.sparse24_cusparselt_dynamic_mm(
                        input, packed, self.weight_values, self.weight_bitmask, self.weight_scale, self.bias
                    )
                return torch.ops.torchao.sparse24_cusparselt_mm(input, packed, self.out_features, self.bias)
        if self.dynamic_activations:
            return torch.ops.torchao.sparse24_dynamic_mm(
                input, self.weight_values, self.weight_bitmask, self.weight_scale, self.bias
            )
        return torch.ops.torchao.sparse24_mm(
            input, self.weight_values, self.weight_bitmask, self.weight_scale, self.bias
        )

    def _format_repr(self) -> str:
        return f"sparse24, values={self.weight_values.dtype}, dynamic_activations={self.dynamic_activations}"
