"""A Llama of any shape with random weights, to measure how fast a model of that shape generates."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HEAD_DIM = 64
_ROPE_BASE = 10000.0


@dataclass(frozen=True)
class LlamaShape:
    """That of TinyLlama-1.1B by default; the proportions are the same for every dim, a multiple of 64."""

    layers: int = 22
    dim: int = 2048
    vocabulary: int = 32000

    def __post_init__(self) -> None:
        for name in ("layers", "dim", "vocabulary"):
            if getattr(self, name) < 1:
                raise ValueError(f"LlamaShape: {name} must be at least 1, but got {getattr(self, name)}")
        if self.dim % _HEAD_DIM:
            raise ValueError(f"LlamaShape: dim must be a multiple of {_HEAD_DIM}, but got {self.dim}")

    @property
    def heads(self) -> int:
        return self.dim // _HEAD_DIM

    @property
    def kv_heads(self) -> int:
        """Each serves 8 heads, or all of them where they are not a multiple of 8."""
        return self.heads // 8 if self.heads % 8 == 0 else 1

    @property
    def hidden(self) -> int:
        return self.dim * 11 // 4


class Llama(nn.Module):
    """Llama's decoder with a cache of keys and values of a fixed size, so that a step is one graph."""

    def __init__(self, shape: LlamaShape, max_tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.dim)
        self.layers = nn.ModuleList(_Layer(shape, max_tokens) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.dim, eps=1e-5)
        self.head = nn.Linear(shape.dim, shape.vocabulary, bias=False)
        frequencies = _ROPE_BASE ** -(torch.arange(0, _HEAD_DIM, 2, device="cpu") / _HEAD_DIM)
        angles = torch.outer(torch.arange(max_tokens, device="cpu"), frequencies)
        self.register_buffer("rotations", torch.stack([angles.cos(), angles.sin()]), persistent=False)
        self.register_buffer(
            "visible", torch.ones(max_tokens, max_tokens, dtype=torch.bool, device="cpu").tril(), persistent=False
        )

    @staticmethod
    def random(shape: LlamaShape, max_tokens: int, device: torch.device, dtype: torch.dtype) -> "Llama":
        """With the same weights at each call."""
        with torch.device("meta"):
            model = Llama(shape, max_tokens)
        fixed = {name: buffer for name, buffer in model.named_buffers() if not buffer.is_meta}
        model.to_empty(device=device).to(dtype)
        generator = torch.Generator(device).manual_seed(0)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.Linear | nn.Embedding):
                    module.weight.normal_(std=0.02, generator=generator)
                elif isinstance(module, nn.RMSNorm):
                    module.weight.fill_(1)
                elif isinstance(module, _Layer):
                    module.keys.zero_()
                    module.values.zero_()
        for name, buffer in fixed.items():
            setattr(model, name, buffer.to(device))
        return model.eval()

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """The logits [1, vocabulary] after the last of some tokens [1, T], which stand at positions [T]."""
        x = self.embedding(tokens)
        rotations, visible = self.rotations[:, positions], self.visible[positions]
        for layer in self.layers:
            x = layer(x, positions, rotations, visible)
        return self.head(self.norm(x[:, -1]))


class _Layer(nn.Module):
    def __init__(self, shape: LlamaShape, max_tokens: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.dim, eps=1e-5)
        self.query = nn.Linear(shape.dim, shape.dim, bias=False)
        self.key = nn.Linear(shape.dim, shape.kv_heads * _HEAD_DIM, bias=False)
        self.value = nn.Linear(shape.dim, shape.kv_heads * _HEAD_DIM, bias=False)
        self.out = nn.Linear(shape.dim, shape.dim, bias=False)
        self.mlp_norm = nn.RMSNorm(shape.dim, eps=1e-5)
        self.gate = nn.Linear(shape.dim, shape.hidden, bias=False)
        self.up = nn.Linear(shape.dim, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.dim, bias=False)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.empty(1, shape.kv_heads, max_tokens, _HEAD_DIM), persistent=False)

    def forward(self, x: Tensor, positions: Tensor, rotations: Tensor, visible: Tensor) -> Tensor:
        normed = self.attention_norm(x)
        query, key, value = (
            projection(normed).unflatten(-1, (-1, _HEAD_DIM)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        self.keys.index_copy_(2, positions, _rotated(key, rotations))
        self.values.index_copy_(2, positions, value)
        attended = F.scaled_dot_product_attention(
            _rotated(query, rotations), self.keys, self.values, attn_mask=visible, enable_gqa=True
        )
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        normed = self.mlp_norm(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


def _rotated(x: Tensor, rotations: Tensor) -> Tensor:
    """x [1, heads, T, head_dim], whose halves are the two coordinates."""
    first, second = x.float().chunk(2, dim=-1)
    cosine, sine = rotations
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)
