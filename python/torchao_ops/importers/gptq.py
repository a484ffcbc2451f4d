"""GPTQ, as AutoGPTQ and GPTQModel write it: qweight int32 [K * bits / 32, N], qzeros int32 [G, N * bits / 32], scales [G, N], g_idx [K].

A word of qweight holds neighbours in k, lowest first, so that the transposed words are our bytes. Zero points are stored minus one in checkpoints
of format "gptq" (v1) and as they are in "gptq_v2".
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint, CheckpointError, join
from .layer import (
    ImportedLayer,
    bytes_of_words,
    check_order,
    group_size_of,
    int4_layer,
    int8_layer,
    linear_of,
    nibbles,
    signed,
)

NAME = "GPTQ"
_WORD_BITS = 32
# One in each field of a word: GPTQModel subtracts it from whole words, borrows and all, so that adding it is exact.
_ONES = {4: 0x11111111, 8: 0x01010101}
_FORMATS = ("gptq", "gptq_v2")


def recognizes(checkpoint: Checkpoint) -> bool:
    """AWQ has a qweight, too, but packs along N."""
    return any(
        checkpoint.has(module, "scales")
        and checkpoint.peek(module, "qweight").shape[-1] == checkpoint.peek(module, "scales").shape[-1]
        for module in checkpoint.modules_with("qweight")
    )


def layers(checkpoint: Checkpoint, linears: Mapping[str, nn.Linear]) -> dict[str, ImportedLayer]:
    return {module: _layer(checkpoint, module, linears) for module in checkpoint.modules_with("qweight")}


def _layer(checkpoint: Checkpoint, module: str, linears: Mapping[str, nn.Linear]) -> ImportedLayer:
    words, scale = checkpoint.take(module, "qweight"), checkpoint.take(module, "scales")
    zero_words, g_idx = checkpoint.take(module, "qzeros"), checkpoint.take_if_there(module, "g_idx")
    groups = scale.shape[0]
    in_features = linear_of(linears, module).in_features
    bits = words.shape[0] * _WORD_BITS // max(in_features, 1)
    if bits not in _ONES:
        raise CheckpointError(f"{module} must have 4 or 8 bits a weight, but has {bits}")
    group_size = _group_size(checkpoint, module, in_features, groups)
    check_order(module, g_idx, group_size, in_features)

    codes = bytes_of_words(words.t())
    scale = scale.t().contiguous()
    zero_point = _zero_points(checkpoint, module, zero_words, bits).t()[: len(scale)]
    if bits == 4:
        return int4_layer(codes, scale, zero_point.to(scale.dtype).contiguous(), group_size, in_features)
    if not bool((zero_point == 128).all()):
        raise CheckpointError(f"{module} must be symmetric to have 8 bits a weight, but it has zero points")
    return int8_layer(signed(codes), scale.squeeze(1) if groups == 1 else scale, None if groups == 1 else group_size)


def _group_size(checkpoint: Checkpoint, module: str, in_features: int, groups: int) -> int:
    """The last group may be a partial one, so that the number of groups alone does not tell."""
    if (group_size := checkpoint.config.get("group_size", -1)) > 0 and -(-in_features // group_size) == groups:
        return group_size
    return group_size_of(module, in_features, groups)


def _zero_points(checkpoint: Checkpoint, module: str, words: Tensor, bits: int) -> Tensor:
    """[G, N], uint8."""
    unpack = nibbles if bits == 4 else torch.clone
    stored, plus_one = unpack(bytes_of_words(words)), unpack(bytes_of_words(words + _ONES[bits]))
    checkpoint_format = _format(checkpoint, module, stored, bits)
    if checkpoint_format not in _FORMATS:
        raise CheckpointError(f"checkpoint_format must be gptq or gptq_v2, but got {checkpoint_format!r}")
    return stored if checkpoint_format == "gptq_v2" else plus_one


def _format(checkpoint: Checkpoint, module: str, stored: Tensor, bits: int) -> str:
    if checkpoint.config:
        # Of before there was another one, if it says nothing.
        return checkpoint.config.get("checkpoint_format") or checkpoint.config.get("format") or "gptq"
    # Those of a symmetric weight tell by themselves.
    middle = 1 << (bits - 1)
    for checkpoint_format, value in (("gptq", middle - 1), ("gptq_v2", middle)):
        if bool((stored == value).all()):
            return checkpoint_format
    raise CheckpointError(
        f"quantization_config must be given with a checkpoint_format, gptq or gptq_v2, to read {join(module, 'qzeros')}, but there is none"
    )
