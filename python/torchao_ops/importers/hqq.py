"""HQQ with 4 bits and axis=1: W_q uint8, the codes of the groups [N * G, group_size], its first half of rows in the high nibbles of the second.

Zero points are fractional. Metadata are tensors of their own in safetensors (text as bytes), or plain values in a file of torch.save.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..int4_codes import pack_nibbles
from .checkpoint import Checkpoint, CheckpointError
from .layer import ImportedLayer, int4_layer

NAME = "HQQ"
_PACKING = "4bit_u8"
# What hqq writes beside W_q, scale, zero and bias.
_METADATA = (
    "nbits",
    "group_size",
    "shape",
    "axis",
    "packing",
    "unpack_view_dtype",
    "view_as_float",
    "quant_scale",
    "quant_zero",
    "compute_dtype",
    "offload_meta",
    "encoded_state_dict",
    "stores_quant_config",
    "channel_wise",
    "optimize",
    "round_zero",
)


def recognizes(checkpoint: Checkpoint) -> bool:
    return any(True for _ in checkpoint.modules_with("W_q"))


def layers(checkpoint: Checkpoint, linears: Mapping[str, nn.Linear]) -> dict[str, ImportedLayer]:
    return {module: _layer(checkpoint, module) for module in checkpoint.modules_with("W_q")}


def _layer(checkpoint: Checkpoint, module: str) -> ImportedLayer:
    words, scale, zero_point = (checkpoint.take(module, name) for name in ("W_q", "scale", "zero"))
    metadata = {name: _plain(checkpoint.take_if_there(module, name)) for name in _METADATA}
    if _text(metadata["packing"]) != _PACKING:
        raise CheckpointError(f"{module}'s packing must be {_PACKING}, but got {_text(metadata['packing'])}")
    if metadata["axis"] != 1:
        raise CheckpointError(
            f"{module} must be quantized with axis=1, but was with axis={metadata['axis']}: its scales belong to single columns"
        )
    if metadata["channel_wise"] is not None and not metadata["channel_wise"]:
        raise CheckpointError(f"{module} must be quantized channel_wise, but has one scale")
    out_features, in_features = metadata["shape"]
    group_size = metadata["group_size"] or in_features
    if in_features % group_size:
        raise CheckpointError(
            f"{module}'s groups of {group_size} must divide its {in_features} columns, but straddle rows"
        )

    packed = words.data.view(torch.uint8)  # view_as_float stores them as numbers
    codes = torch.cat((packed >> 4, packed & 0xF)).view(out_features, in_features)
    per_group = (out_features, in_features // group_size)
    return int4_layer(
        pack_nibbles(codes), scale.data.view(per_group), zero_point.data.view(per_group), group_size, in_features
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def _text(value: Any) -> Any:
    return bytes(value).decode() if isinstance(value, list) else value
