"""compressed-tensors (llm-compressor, vLLM): pack-quantized int4, whose int32 words are our bytes, and int8; int-quantized int8;
float-quantized fp8.

Its config says for which modules there is which scheme; the tensors say the rest. Without a config, activations are taken to be exact.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config import PerBlock, PerRow, PerTensor
from ..int4_codes import pack_nibbles
from .checkpoint import Checkpoint, CheckpointError
from .layer import (
    ImportedLayer,
    bytes_of_words,
    check_order,
    fp8_layer,
    group_size_of,
    int4_layer,
    int8_layer,
    linear_of,
    nibbles,
    signed,
)

NAME = "compressed-tensors"
_METHOD = "compressed-tensors"
_WORD_BITS = 32
_FLOAT8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)
# The scales of activations that are quantized with numbers from calibration.
_STATIC_ACTIVATIONS = ("input_scale", "input_zero_point")


def recognizes(checkpoint: Checkpoint) -> bool:
    return (
        checkpoint.config.get("quant_method") == _METHOD
        or any(checkpoint.has(module, "weight_shape") for module in checkpoint.modules_with("weight_packed"))
        or any(
            checkpoint.has(module, "weight_scale") and checkpoint.peek(module, "weight").dtype in _WEIGHT_READERS
            for module in checkpoint.modules_with("weight")
        )
    )


def layers(checkpoint: Checkpoint, linears: Mapping[str, nn.Linear]) -> dict[str, ImportedLayer]:
    _check_config(checkpoint.config)
    found = {}
    for module in checkpoint.modules_with("weight_scale"):
        scheme = _scheme_of(module, linear_of(linears, module), checkpoint.config)
        found[module] = _layer(checkpoint, module, scheme)
        if any([checkpoint.take_if_there(module, name) is not None for name in _STATIC_ACTIVATIONS]):
            checkpoint.notes.append(f"{module}'s activations are not rounded with the checkpoint's input_scale")
    return found


def _check_config(config: Mapping[str, Any]) -> None:
    if config.get("transform_config"):
        raise CheckpointError(f"transform_config must be empty, but got {config['transform_config']}")
    sparse = (config.get("sparsity_config") or {}).get("format", "dense")
    if sparse != "dense":
        raise CheckpointError(f"sparsity_config's format must be dense, but got {sparse!r}")


def _scheme_of(module: str, linear: nn.Linear, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first group of the config that a module belongs to."""
    for scheme in config.get("config_groups", {}).values():
        if isinstance(scheme, Mapping) and any(
            _matches(module, linear, target) for target in scheme.get("targets", ())
        ):
            return scheme
    return {}


def _matches(module: str, linear: nn.Linear, target: str) -> bool:
    if target.startswith("re:"):
        return re.match(target.removeprefix("re:"), module) is not None
    return target == module or target in (base.__name__ for base in type(linear).__mro__)


def _layer(checkpoint: Checkpoint, module: str, scheme: Mapping[str, Any]) -> ImportedLayer:
    if checkpoint.has(module, "weight_packed"):
        return _packed(checkpoint, module, scheme)
    dtype = checkpoint.peek(module, "weight").dtype
    if dtype not in _WEIGHT_READERS:
        raise CheckpointError(f"{module}.weight must be int8, float8 or packed int32, but is {dtype}")
    return _WEIGHT_READERS[dtype](checkpoint, module, scheme)


def _rounds_activations(scheme: Mapping[str, Any], kind: str) -> bool:
    """To 8-bit numbers of this kind, "int" or "float"."""
    activations = scheme.get("input_activations") or {}
    return activations.get("num_bits") == 8 and activations.get("type", "int") == kind


def _packed(checkpoint: Checkpoint, module: str, scheme: Mapping[str, Any]) -> ImportedLayer:
    words, scale = checkpoint.take(module, "weight_packed"), checkpoint.take(module, "weight_scale")
    if words.dtype != torch.int32 or not checkpoint.has(module, "weight_shape"):
        raise CheckpointError(
            f"{module}.weight_packed must be int32 with a weight_shape, but is {words.dtype}: another format"
        )
    out_features, in_features = checkpoint.take(module, "weight_shape").tolist()
    zero_words = checkpoint.take_if_there(module, "weight_zero_point")
    scale = _per_row(scale, out_features)
    group_size = group_size_of(module, in_features, scale.shape[1])
    check_order(module, checkpoint.take_if_there(module, "weight_g_idx"), group_size, in_features)
    bits = _num_bits(scheme) or _bits_of(words, in_features)
    dynamic, stored = _rounds_activations(scheme, "int"), bytes_of_words(words)
    # Rows that end inside a word are padded; safetensors saves no strided rows.
    if bits == 4:
        packed = stored[:, : (in_features + 1) // 2].contiguous()
        zero_point = None if zero_words is None else _zero_points(zero_words, out_features).to(scale.dtype)
        return int4_layer(packed, scale, zero_point, group_size, in_features, dynamic)
    if bits == 8 and zero_words is None:
        return _int8_layer(signed(stored[:, :in_features]), scale, dynamic, module)
    zero_points = "no zero points" if zero_words is None else "zero points"
    raise CheckpointError(
        f"{module} must have 4 bits a weight, or 8 without zero points, but has {bits} and {zero_points}"
    )


def _num_bits(scheme: Mapping[str, Any]) -> int | None:
    return (scheme.get("weights") or {}).get("num_bits")


def _bits_of(words: Tensor, in_features: int) -> int:
    """4 or 8, if they fill as many words; else about how many they are."""
    filled = (bits for bits in (4, 8) if words.shape[-1] == -(-in_features * bits // _WORD_BITS))
    return next(filled, words.shape[-1] * _WORD_BITS // max(in_features, 1))


def _plain(checkpoint: Checkpoint, module: str, scheme: Mapping[str, Any]) -> ImportedLayer:
    """A code a byte, also where it is one of 4 bits: those are packed."""
    codes, scale = checkpoint.take(module, "weight"), checkpoint.take(module, "weight_scale")
    zero_point = checkpoint.take_if_there(module, "weight_zero_point")
    out_features, in_features = codes.shape
    scale, dynamic = _per_row(scale, out_features), _rounds_activations(scheme, "int")
    if (_num_bits(scheme) or 8) <= 4:
        if zero_point is not None:
            zero_point = _per_row(zero_point, out_features).to(scale.dtype) + 8
        group_size = group_size_of(module, in_features, scale.shape[1])
        return int4_layer(
            pack_nibbles((codes + 8).view(torch.uint8)), scale, zero_point, group_size, in_features, dynamic
        )
    if zero_point is not None and bool(zero_point.any()):
        raise CheckpointError(f"{module} must be symmetric to have 8 bits a weight, but it has zero points")
    return _int8_layer(codes, scale, dynamic, module)


def _int8_layer(codes: Tensor, scale: Tensor, dynamic: bool, module: str) -> ImportedLayer:
    if scale.shape[1] == 1:
        return int8_layer(codes, scale[:, 0], None, dynamic)
    return int8_layer(codes, scale, group_size_of(module, codes.shape[1], scale.shape[1]), dynamic)


def _per_row(scale: Tensor, out_features: int) -> Tensor:
    """[N, G]; one scale for the whole weight is repeated."""
    return scale.reshape(1, 1).expand(out_features, 1).contiguous() if scale.numel() == 1 else scale


def _zero_points(words: Tensor, out_features: int) -> Tensor:
    """int32 [N / 8, G], packed along N, to [N, G]."""
    return nibbles(bytes_of_words(words.t())).t()[:out_features].contiguous()


def _float8(checkpoint: Checkpoint, module: str, scheme: Mapping[str, Any]) -> ImportedLayer:
    codes, scale = checkpoint.take(module, "weight"), checkpoint.take(module, "weight_scale")
    checkpoint.take_if_there(module, "weight_zero_point")  # of zeros
    rows, columns = codes.shape
    if scale.numel() == 1:
        granularity, scale = PerTensor(), scale.reshape(())
    elif scale.shape in ((rows,), (rows, 1)):
        granularity, scale = PerRow(), scale.reshape(rows)
    elif scale.shape == (-(-rows // 128), -(-columns // 128)):
        granularity = PerBlock()
    else:
        raise CheckpointError(
            f"{module} must have one scale, one a row or one for each 128 x 128 weights, but their shape is {list(scale.shape)}"
        )
    return fp8_layer(codes, scale, granularity, _rounds_activations(scheme, "float"))


# By the dtype of a weight that is not packed.
_WEIGHT_READERS: dict[torch.dtype, Callable[[Checkpoint, str, Mapping[str, Any]], ImportedLayer]] = {
    torch.int8: _plain,
    **dict.fromkeys(_FLOAT8_DTYPES, _float8),
}
