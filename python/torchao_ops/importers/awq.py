"""AWQ, as AutoAWQ's "gemm" version and GPTQModel write it: qweight int32 [K, N / 8], qzeros int32 [G, N / 8], scales [G, N].

A word holds eight neighbours in n, in an order of its own.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..int4_codes import pack_nibbles
from .checkpoint import Checkpoint, CheckpointError
from .layer import ImportedLayer, bytes_of_words, group_size_of, int4_layer, nibbles

NAME = "AWQ"
_CODES_PER_WORD = 8
# Where in a word's nibbles, lowest first, its eight columns are.
_NIBBLE_OF_COLUMN = (0, 4, 1, 5, 2, 6, 3, 7)


def recognizes(checkpoint: Checkpoint) -> bool:
    return any(
        checkpoint.has(module, "scales")
        and checkpoint.peek(module, "qweight").shape[-1] * _CODES_PER_WORD
        == checkpoint.peek(module, "scales").shape[-1]
        for module in checkpoint.modules_with("qweight")
    )


def layers(checkpoint: Checkpoint, linears: Mapping[str, nn.Linear]) -> dict[str, ImportedLayer]:
    version = checkpoint.config.get("version", "gemm")
    if version.lower() != "gemm":
        raise CheckpointError(f"AWQ's version must be gemm, but got {version!r}")
    return {module: _layer(checkpoint, module) for module in checkpoint.modules_with("qweight")}


def _layer(checkpoint: Checkpoint, module: str) -> ImportedLayer:
    words, zero_words = checkpoint.take(module, "qweight"), checkpoint.take(module, "qzeros")
    scale = checkpoint.take(module, "scales").t().contiguous()
    codes, zero_point = _codes(words).t(), _codes(zero_words).t()
    group_size = group_size_of(module, codes.shape[1], scale.shape[1])
    return int4_layer(pack_nibbles(codes), scale, zero_point.to(scale.dtype).contiguous(), group_size, codes.shape[1])


def _codes(words: Tensor) -> Tensor:
    """int32 [R, N / 8] to codes [R, N]."""
    in_words = nibbles(bytes_of_words(words)).unflatten(1, (-1, _CODES_PER_WORD))
    return in_words[..., torch.tensor(_NIBBLE_OF_COLUMN, device=words.device)].flatten(1)
