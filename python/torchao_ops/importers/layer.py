"""A quantized weight of a checkpoint in the buffers of our layers, and how other tools' codes become ours."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import (
    Config,
    Float8DynamicActivationFloat8WeightConfig,
    Float8WeightOnlyConfig,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt4WeightConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    PerBlock,
    PerRow,
    PerTensor,
)
from .checkpoint import CheckpointError

# The zero point that a symmetric int4 weight does without.
_INT4_MIDDLE = 8


@dataclass(frozen=True)
class ImportedLayer:
    """A weight [out_features, in_features] in the buffers of the layer class that `config` asks for."""

    config: Config
    out_features: int
    in_features: int
    buffers: dict[str, Tensor | None]


def int4_layer(
    packed: Tensor,
    scale: Tensor,
    zero_point: Tensor | None,
    group_size: int,
    in_features: int,
    dynamic_activations: bool = False,
) -> ImportedLayer:
    """As `int4_dequantize` takes a weight. Zero points that are all 8 are left out."""
    if zero_point is not None and bool((zero_point == _INT4_MIDDLE).all()):
        zero_point = None
    config_class = Int8DynamicActivationInt4WeightConfig if dynamic_activations else Int4WeightOnlyConfig
    return ImportedLayer(
        config_class(group_size=group_size, symmetric=zero_point is None),
        packed.shape[0],
        in_features,
        {"weight_packed": packed, "weight_scale": scale, "weight_zero_point": zero_point},
    )


def int8_layer(
    codes: Tensor, scale: Tensor, group_size: int | None, dynamic_activations: bool = False
) -> ImportedLayer:
    """As `int8_dequantize` takes a weight; group_size None is one scale a row. With groups, activations stay exact: no layer rounds them."""
    config = (
        Int8DynamicActivationInt8WeightConfig()
        if dynamic_activations and group_size is None
        else Int8WeightOnlyConfig(group_size)
    )
    return ImportedLayer(config, *codes.shape, {"weight_codes": codes, "weight_scale": scale})


def fp8_layer(
    codes: Tensor, scale: Tensor, granularity: PerTensor | PerRow | PerBlock, dynamic_activations: bool = False
) -> ImportedLayer:
    """As `fp8_dequantize` takes a weight."""
    config_class = Float8DynamicActivationFloat8WeightConfig if dynamic_activations else Float8WeightOnlyConfig
    buffers = {"weight_codes": codes, "weight_scale": scale}
    return ImportedLayer(config_class(granularity, codes.dtype), *codes.shape, buffers)


def linear_of(linears: Mapping[str, nn.Linear], module: str) -> nn.Linear:
    if module not in linears:
        raise CheckpointError(f"{module or 'the model'} must be an nn.Linear, as its weight is quantized, but is not")
    return linears[module]


def group_size_of(module: str, in_features: int, groups: int) -> int:
    """Of groups of one size that fill a row."""
    if groups < 1 or in_features % groups:
        raise CheckpointError(
            f"{module}'s groups must divide its {in_features} columns, but there are {groups} of them"
        )
    return in_features // groups


def check_order(module: str, g_idx: Tensor | None, group_size: int, in_features: int) -> None:
    if g_idx is not None and not torch.equal(g_idx.long().cpu(), torch.arange(in_features, device="cpu") // group_size):
        raise CheckpointError(
            f"{module} must have its columns in groups of neighbours, but its g_idx scatters them (desc_act=True): that "
            "would take a gather of x at each call"
        )


def bytes_of_words(words: Tensor) -> Tensor:
    """int32 [..., W] as uint8 [..., 4 W], lowest byte first; the same storage, if its rows are contiguous."""
    return words.contiguous().view(torch.uint8)


def nibbles(packed: Tensor) -> Tensor:
    """uint8 [..., B] to codes [..., 2 B], low nibble first."""
    return torch.stack((packed & 0xF, packed >> 4), dim=-1).flatten(-2)


def signed(codes: Tensor) -> Tensor:
    """uint8 codes around 128 to int8 codes around 0."""
    return (codes ^ 0x80).view(torch.int8)
