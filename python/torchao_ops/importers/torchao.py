"""torchao's tensors: Int8Tensor, IntxUnpackedToInt8Tensor and NF4Tensor, in a state dict or flattened into safetensors.

Its other tensors are in the order of one kernel, or made only where a GPU is.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..config import NF4WeightOnlyConfig
from ..int4_codes import pack_nibbles
from ..nf4 import NF4Weight
from ..nf4_linear import buffers_of
from .checkpoint import Checkpoint, CheckpointError
from .layer import ImportedLayer, int4_layer, int8_layer

NAME = "torchao"
_NAMES_KEY = "tensor_names"


def recognizes(checkpoint: Checkpoint) -> bool:
    return _NAMES_KEY in checkpoint.metadata or any(_is_theirs(value) for value in checkpoint.tensors.values())


def layers(checkpoint: Checkpoint, linears: Mapping[str, nn.Linear]) -> dict[str, ImportedLayer]:
    if _NAMES_KEY in checkpoint.metadata:
        _unflatten(checkpoint)
    found = {}
    for module in checkpoint.modules_with("weight"):
        if _is_theirs(checkpoint.peek(module, "weight")):
            tensor = checkpoint.take(module, "weight")
            kind = type(tensor).__name__
            if kind not in _READERS:
                raise CheckpointError(f"{module}.weight must be one of {', '.join(_READERS)}, but is {kind}")
            found[module] = _READERS[kind](tensor, module)
            if getattr(tensor, "act_quant_scale", None) is not None:
                checkpoint.notes.append(f"{module}'s activations are not rounded with the checkpoint's act_quant_scale")
    return found


def _is_theirs(value: object) -> bool:
    return isinstance(value, Tensor) and type(value).__module__.startswith("torchao.")


def _unflatten(checkpoint: Checkpoint) -> None:
    from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

    tensors, left = unflatten_tensor_state_dict(checkpoint.tensors, dict(checkpoint.metadata))
    checkpoint.tensors = {**left, **tensors}


def _scale(tensor: Tensor, module: str) -> tuple[Tensor, int | None]:
    """[N] and None, or [N, G] and the group size."""
    if getattr(tensor, "act_pre_scale", None) is not None:
        raise CheckpointError(f"{module}.weight must have no act_pre_scale, but has one")
    rows, columns = tensor.block_size
    if columns == tensor.shape[1] and rows in (1, tensor.shape[0]):
        return tensor.scale.reshape(-1).expand(tensor.shape[0]).contiguous(), None
    if rows != 1:
        raise CheckpointError(f"{module}.weight must have blocks inside rows, but has blocks of {[rows, columns]}")
    return tensor.scale, columns


def _int8(tensor: Tensor, module: str) -> ImportedLayer:
    if tensor.zero_point is not None and bool(tensor.zero_point.any()):
        raise CheckpointError(f"{module} must be symmetric to have 8 bits a weight, but it has zero points")
    # Two kinds of tensors, two names of the same thing.
    dynamic = getattr(tensor, "act_quant_kwargs", None) or getattr(tensor, "activation_quantization", None)
    return int8_layer(tensor.qdata, *_scale(tensor, module), dynamic is not None)


def _unpacked(tensor: Tensor, module: str) -> ImportedLayer:
    """1 to 8 bits, in bytes; what fits into 4 bits is packed."""
    if int(str(tensor.target_dtype).removeprefix("torch.int")) > 4:  # iinfo knows whole bytes only
        return _int8(tensor, module)
    scale, group_size = _scale(tensor, module)
    scale = scale.view(tensor.shape[0], -1)
    zero_point = (tensor.zero_point.to(scale.dtype) + 8).view(scale.shape)
    dynamic = tensor.activation_quantization is not None
    packed = pack_nibbles((tensor.qdata + 8).view(torch.uint8))
    return int4_layer(packed, scale, zero_point, group_size or tensor.shape[1], tensor.shape[1], dynamic)


def _nf4(tensor: Tensor, module: str) -> ImportedLayer:
    weight = NF4Weight.from_torchao(tensor)
    return ImportedLayer(NF4WeightOnlyConfig(weight.block_size, double_quant=False), *weight.shape, buffers_of(weight))


_READERS = {"Int8Tensor": _int8, "IntxUnpackedToInt8Tensor": _unpacked, "NF4Tensor": _nf4}
