"""bitsandbytes' 4 bits: NF4, whose bytes are ours, plain or doubly quantized."""

from collections.abc import Mapping

import torch
from torch import nn

from ..config import NF4WeightOnlyConfig
from ..nf4 import NESTED_BLOCK_SIZE, NF4Weight
from ..nf4_linear import buffers_of
from .checkpoint import Checkpoint, CheckpointError, join
from .layer import ImportedLayer

NAME = "bitsandbytes"
_NF4_STATE = "weight.quant_state.bitsandbytes__nf4"
_FP4_STATE = "weight.quant_state.bitsandbytes__fp4"


def recognizes(checkpoint: Checkpoint) -> bool:
    return any(True for state in (_NF4_STATE, _FP4_STATE) for _ in checkpoint.modules_with(state))


def layers(checkpoint: Checkpoint, linears: Mapping[str, nn.Linear]) -> dict[str, ImportedLayer]:
    for module in checkpoint.modules_with(_FP4_STATE):
        raise CheckpointError(f"{module} must be NF4, but is FP4")
    return {module: _layer(checkpoint, module) for module in checkpoint.modules_with(_NF4_STATE)}


def _layer(checkpoint: Checkpoint, module: str) -> ImportedLayer:
    name = join(module, "weight")
    parts = {key: value for key, value in checkpoint.tensors.items() if key == name or key.startswith(f"{name}.")}
    for key in parts:
        del checkpoint.tensors[key]
    if name in parts:
        parts[name] = parts[name].view(torch.uint8)  # bnb_4bit_quant_storage may call the bytes something else
    try:
        weight = NF4Weight.from_bitsandbytes(parts, name)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    doubly_quantized = weight.absmax_code is not None
    if doubly_quantized and weight.nested_block_size != NESTED_BLOCK_SIZE:
        raise CheckpointError(
            f"{module}'s nested_blocksize must be {NESTED_BLOCK_SIZE}, but got {weight.nested_block_size}"
        )
    if len(weight.shape) != 2:
        raise CheckpointError(f"{module}'s weight must be a matrix, but got {list(weight.shape)}")
    return ImportedLayer(NF4WeightOnlyConfig(weight.block_size, doubly_quantized), *weight.shape, buffers_of(weight))
