"""A low-rank adapter over a frozen, quantized linear layer: QLoRA without further packages."""

import math

import torch
from torch import Tensor, nn

from .config import NF4WeightOnlyConfig
from .linear import QuantLinear


class LoRALinear(nn.Module):
    """base(x) + alpha / rank * lora_b(lora_a(dropout(x))), where only the adapters lora_a and lora_b are trained.

    Hu et al., LoRA, 2021 (arXiv 2106.09685); over an NF4 base, Dettmers et al., QLoRA, 2023 (arXiv 2305.14314).
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        use_bias: bool = False,
        quantize_base: bool = False,
        **quantization_kwargs,
    ) -> None:
        """As torchtune's. The base is initialized as nn.Linear is; load its weights, or see `from_linear`.

        Args:
            in_dim, out_dim, use_bias: of the base.
            rank: of the adapter, at least 1.
            alpha: the adapter's weight is alpha / rank.
            dropout: of the adapter's input, in training.
            quantize_base: whether the base is NF4.
            quantization_kwargs: of NF4WeightOnlyConfig; for quantize_base only.

        Raises:
            ValueError: rank is below 1, or there are quantization_kwargs without quantize_base.
        """
        super().__init__()
        if quantization_kwargs and not quantize_base:
            raise ValueError(
                f"LoRALinear: quantize_base must be True with {', '.join(quantization_kwargs)}, but got False"
            )
        base = nn.Linear(in_dim, out_dim, bias=use_bias)
        if quantize_base:
            base = QuantLinear.from_linear(base, NF4WeightOnlyConfig(**quantization_kwargs))
        self._set(base, rank, alpha, dropout)

    @staticmethod
    def from_linear(linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> "LoRALinear":
        """An adapter over a linear layer, dense or quantized in any format; the layer becomes the base and is frozen."""
        layer = LoRALinear.__new__(LoRALinear)
        nn.Module.__init__(layer)
        layer._set(linear, rank, alpha, dropout)
        return layer

    def _set(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        if rank < 1:
            raise ValueError(f"LoRALinear: rank must be at least 1, but got {rank}")
        self.base = base.requires_grad_(False)
        self.rank = rank
        self.alpha = alpha
        self.dropout = nn.Dropout(dropout)
        some = next(tensor for tensor in (*base.parameters(), *base.buffers()))
        dtype = base.weight.dtype
        self.lora_a = nn.Linear(base.in_features, rank, bias=False, device=some.device, dtype=dtype)
        self.lora_b = nn.Linear(rank, base.out_features, bias=False, device=some.device, dtype=dtype)
        self.reset_adapter()

    def reset_adapter(self) -> None:
        """Begins anew: lora_a random, lora_b zero, so that the adapter adds nothing."""
        nn.init.kaiming_uniform_(self.lora_a.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_b.weight)

    def adapter_params(self) -> list[str]:
        """The names of the parameters that are trained."""
        return ["lora_a.weight", "lora_b.weight"]

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.alpha / self.rank * self.lora_b(self.lora_a(self.dropout(x)))

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The base with the adapter added to its weight; a quantized one is dequantized and quantized again.

        The adapter begins anew: this layer goes on computing what it did, but for the rounding of the weight.
        """
        update = self.alpha / self.rank * (self.lora_b.weight @ self.lora_a.weight)
        if isinstance(self.base, QuantLinear):
            self.base.requantize_(self.base.weight + update)
        else:
            self.base.weight += update
        self.reset_adapter()
        return self.base
