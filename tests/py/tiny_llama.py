"""A Llama of a few thousand random weights, and comparisons of models whose linear layers were loaded."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchao_ops import QuantLinear
from transformers import LlamaConfig, LlamaForCausalLM

CONFIG = LlamaConfig(
    vocab_size=64,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=False,
)


def tiny_llama(seed: int = 0, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    """As it is when it is made: weights of a small deviation, norms of one, which are made random here."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(CONFIG).to(dtype).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model.requires_grad_(False)


def convert_linears(model: nn.Module, make: Callable[[nn.Linear], nn.Module | None]) -> None:
    """Replaces each linear layer but lm_head by what `make` makes of it."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name != "lm_head":
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, make(module))


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every weight and bias, dequantized."""
    weights = {name: value for name, value in model.state_dict().items() if name.endswith((".weight", ".bias"))}
    for name, module in model.named_modules():
        if isinstance(module, QuantLinear):
            weights[f"{name}.weight"] = module.weight
    return weights


def assert_same_weights(model: nn.Module, expected: Mapping[str, Tensor]) -> None:
    """Bit for bit, where both are in one dtype."""
    weights = weights_of(model)
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        assert torch.equal(weight, expected[name].to(weight.dtype)), name


def in_file(tensor: Tensor, file_name: str) -> bool:
    """Whether the tensor's bytes are those of a mapped file."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            first, last = (int(address, 16) for address in line.split(maxsplit=1)[0].split("-"))
            if first <= tensor.data_ptr() < last:
                return line.rstrip().endswith(file_name)
    return False
