"""Mixture-of-experts models of transformers, which keep the weights of all experts in one Parameter [experts, out, in].

Quantized, each expert is a layer of its own, and the module calls those of the experts that were chosen.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from ..config import Config
from ..quantize import quantize_

# Of transformers' `experts_implementation`.
IMPLEMENTATION = "torchao_ops"


def expert_weights(model: nn.Module) -> list[str]:
    """The names of the Parameters that can be quantized by expert."""
    return [
        f"{name}.{projection}"
        for name, module in model.named_modules()
        if hasattr(module, "_is_expert_parallel") and not _is_unusual(module)
        for projection in _projections(module)
    ]


def quantize_experts_(module: nn.Module, projection: str, config: Config) -> None:
    """Replaces the Parameter by a list of quantized layers, one an expert."""
    weight = getattr(module, projection)
    layers = nn.ModuleList()
    for expert_weight in weight:
        layer = nn.Linear(weight.shape[2], weight.shape[1], bias=False, device="meta")
        layer.weight = nn.Parameter(expert_weight, requires_grad=False)
        quantize_(layer, config)
        layers.append(layer)
    delattr(module, projection)
    setattr(module, projection, layers)


@torch.no_grad()
def experts_to_dense_(module: nn.Module, projection: str, dtype: torch.dtype) -> None:
    """The inverse of quantize_experts_, with the dequantized weights."""
    weight = torch.stack([layer.weight.to(dtype) for layer in getattr(module, projection)])
    delattr(module, projection)
    setattr(module, projection, nn.Parameter(weight))


def _is_unusual(experts: nn.Module) -> bool:
    return experts.is_transposed or experts.has_bias or experts.has_post_expert_norm


def _projections(experts: nn.Module) -> tuple[str, str]:
    return "gate_up_proj" if experts.has_gate else "up_proj", "down_proj"


def _experts_forward(self: nn.Module, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    first, last = (getattr(self, name) for name in _projections(self))
    result = torch.zeros_like(hidden_states)
    for expert in top_k_index.unique().tolist():
        if expert >= self.num_experts:  # not on this device
            continue
        token, choice = torch.where(top_k_index == expert)
        x = _project(first, expert, hidden_states[token])
        x = self._apply_gate(x) if self.has_gate else self.act_fn(x)
        x = _project(last, expert, x) * top_k_weights[token, choice, None]
        result.index_add_(0, token, x.to(result.dtype))
    return result


def _project(weights: Tensor | nn.ModuleList, expert: int, x: Tensor) -> Tensor:
    """In a model that is quantized in part, some are dense."""
    return weights[expert](x) if isinstance(weights, nn.ModuleList) else F.linear(x, weights[expert])


ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, _experts_forward)
