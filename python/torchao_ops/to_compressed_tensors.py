"""Writes quantized layers in compressed-tensors' format, which vLLM and transformers read."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .config import PerBlock, PerRow, PerTensor
from .fp8_linear import Fp8Linear
from .importers.checkpoint import join
from .int4_codes import pack_nibbles
from .int4_linear import Int4Linear
from .int8_linear import Int8Linear
from .linear import QuantLinear

_WORD_BYTES = 4
_PACKED, _INT, _FLOAT, _MIXED = "pack-quantized", "int-quantized", "float-quantized", "mixed-precision"
_DYNAMIC = {"num_bits": 8, "symmetric": True, "strategy": "token", "dynamic": True}


def to_compressed_tensors(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict and the `quantization_config` (for config.json) of a model of int4, int8 and fp8 layers, as compressed-tensors has them.

    Both decompress to the same weights, bit for bit. int4 codes, int8 codes of layers that round activations, fp8 codes, scales and dense tensors keep
    their storage.

    Raises:
        ValueError: a layer is in another format or smoothed, its groups do not divide its rows, or its zero points are no integers.
    """
    state = dict(model.state_dict())
    schemes: list[dict[str, Any]] = []
    for name, layer in model.named_modules(remove_duplicate=False):
        if isinstance(layer, QuantLinear):
            tensors, scheme = _exported(name, layer)
            for buffer, value in layer._buffers.items():
                if value is not None:
                    del state[join(name, buffer)]
            state.update({join(name, key): value for key, value in tensors.items()})
            same = next((other for other in schemes if {**other, "targets": None} == {**scheme, "targets": None}), None)
            if same is None:
                schemes.append(scheme)
            else:
                same["targets"] += scheme["targets"]
    if not schemes:
        raise _error("model must have quantized layers, but has none")
    return state, _config(model, schemes)


def _config(model: nn.Module, schemes: list[dict[str, Any]]) -> dict[str, Any]:
    formats = list(dict.fromkeys(scheme["format"] for scheme in schemes))
    if len(schemes) == 1:
        # What they write themselves: it also holds where a model wraps this one and its layers' names get longer.
        schemes[0]["targets"] = ["Linear"]
    dense = [
        name
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Linear) and not isinstance(module, QuantLinear)
    ]
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": formats[0] if len(formats) == 1 else _MIXED,
        "config_groups": {f"group_{i}": scheme for i, scheme in enumerate(schemes)},
        "ignore": dense,
    }


def _exported(name: str, layer: QuantLinear) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if layer.input_scale is not None:
        raise _error(f"{name} must have no input_scale, but was smoothed")
    export = _EXPORTERS.get(type(layer))
    if export is None:
        raise _error(f"{name} must be int4, int8 or fp8, but is {type(layer).__name__}")
    tensors, weights, stored_as = export(name, layer)
    dynamic, kind = layer.dynamic_activations, "float" if stored_as == _FLOAT else "int"
    scheme = {
        "targets": [name],
        "weights": {"type": kind, "dynamic": False, **weights},
        "input_activations": {"type": kind, **_DYNAMIC} if dynamic else None,
        "format": stored_as,
    }
    return tensors, scheme


def _int4(name: str, layer: Int4Linear) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    zero_point = layer.weight_zero_point
    tensors = {
        "weight_packed": _words(layer.weight_packed),
        "weight_scale": layer.weight_scale,
        "weight_shape": torch.tensor([layer.out_features, layer.in_features]),
    }
    if zero_point is not None:
        codes = zero_point.to(torch.uint8)
        if bool((codes > 15).any()) or not torch.equal(codes.to(zero_point.dtype), zero_point):
            raise _error(f"{name}'s zero points must be integers from 0 to 15, but are not")
        tensors["weight_zero_point"] = _words(pack_nibbles(codes.t())).t().contiguous()
    weights = {"num_bits": 4, "symmetric": zero_point is None, **_grouping(name, layer)}
    return tensors, weights, _PACKED


def _int8(name: str, layer: Int8Linear) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    scale = layer.weight_scale if layer.group_size else layer.weight_scale[:, None]
    weights = {"num_bits": 8, "symmetric": True, **_grouping(name, layer)}
    if layer.dynamic_activations:
        return {"weight": layer.weight_codes, "weight_scale": scale}, weights, _INT
    # Without rounded activations, theirs are packed, too, and around 128.
    tensors = {
        "weight_packed": _words(layer.weight_codes.view(torch.uint8) ^ 0x80),
        "weight_scale": scale,
        "weight_shape": torch.tensor([layer.out_features, layer.in_features]),
    }
    return tensors, weights, _PACKED


def _fp8(name: str, layer: Fp8Linear) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    if layer.weight_codes.dtype != torch.float8_e4m3fn:
        raise _error(f"{name} must have weights of float8_e4m3fn, but has {layer.weight_codes.dtype}")
    strategies = {PerTensor: "tensor", PerRow: "channel", PerBlock: "block"}
    strategy = strategies[type(layer.config.granularity)]
    weights = {"num_bits": 8, "symmetric": True, "strategy": strategy}
    shapes = {"tensor": (1,), "channel": (layer.out_features, 1), "block": layer.weight_scale.shape}
    if strategy == "block":
        weights["block_structure"] = [128, 128]
    return {"weight": layer.weight_codes, "weight_scale": layer.weight_scale.view(shapes[strategy])}, weights, _FLOAT


def _grouping(name: str, layer: Int4Linear | Int8Linear) -> dict[str, Any]:
    if layer.group_size == 0 or layer.group_size >= layer.in_features:
        return {"strategy": "channel", "group_size": None}
    if layer.in_features % layer.group_size:
        raise _error(f"{name}'s groups of {layer.group_size} must divide its {layer.in_features} columns, but do not")
    return {"strategy": "group", "group_size": layer.group_size}


def _words(packed: Tensor) -> Tensor:
    """uint8 [R, B] as int32 [R, ceil(B / 4)]; rows that end inside a word are padded."""
    padding = -packed.shape[1] % _WORD_BYTES
    return (nn.functional.pad(packed, (0, padding)) if padding else packed.contiguous()).view(torch.int32)


def _error(sentence: str) -> ValueError:
    return ValueError(f"to_compressed_tensors: {sentence}")


# One entry a format that they have, too.
_EXPORTERS: dict[type, Callable] = {Int4Linear: _int4, Int8Linear: _int8, Fp8Linear: _fp8}
