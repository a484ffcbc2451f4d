"""Loads checkpoints that other tools have quantized."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ._text import counted
from .importers import IMPORTERS
from .importers.checkpoint import Checkpoint, CheckpointError, join, read, renamed
from .importers.layer import ImportedLayer, linear_of
from .linear import QuantLinear, linear_class_of
from .quantize import is_plain_linear, leave_fast_paths

_NAMES_IN_A_SENTENCE = 3
_SCALE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class LoadReport:
    """What `load_quantized` found; as a string, a line or a few.

    Attributes:
        format: of the checkpoint, such as "GPTQ".
        quantized: by the name of a layer, what its weight is now.
        dense: names of the linear layers that the checkpoint has no quantized weight for.
        missing, unexpected: names of tensors; empty unless strict=False.
        notes: what was taken otherwise than the checkpoint has it.
    """

    format: str
    quantized: dict[str, str]
    dense: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        kinds = Counter(self.quantized.values())
        lines = [f"{self.format}: {counted(count, 'layer')} as {kind}" for kind, count in kinds.items()]
        if self.dense:
            lines.append(f"{counted(len(self.dense), 'linear layer')} stayed dense: {_listed(self.dense)}")
        for title in ("missing", "unexpected"):
            if names := getattr(self, title):
                lines.append(f"{title}: {_listed(names)}")
        return "\n".join((*lines, *self.notes))


def load_quantized(
    model: nn.Module,
    path_or_state_dict: str | Path | Mapping[str, Any],
    *,
    quantization_config: Mapping[str, Any] | None = None,
    rename: Callable[[str], str] | None = None,
    strict: bool = True,
) -> LoadReport:
    """Loads a checkpoint that another tool has quantized: a model of linear layers becomes one of quantized ones, in place.

    compressed-tensors, bitsandbytes (NF4), GPTQ, AWQ, HQQ, torchao and GGUF are recognized by what is in the checkpoint. Where a format has
    our bytes, the layers keep the checkpoint's storage, which is the mapped file for safetensors. docs/checkpoints.md says what of each format
    is read. Nothing is changed if there is an error.

    Args:
        model: the dense model, which may be on the meta device. Dense tensors get its dtypes, and all tensors its devices; what is on the meta
            device goes to the checkpoint's.
        path_or_state_dict: a state dict; a file of safetensors, GGUF or torch.save (loaded with weights_only=True); or a folder with such
            files and a config.json.
        quantization_config: what a config.json has under this name, for a checkpoint that comes without one.
        rename: from a tensor's name in the checkpoint to that in the model's state dict.
        strict: whether tensors that only the checkpoint or only the model has are an error; else the report lists them.

    Returns:
        What was found.

    Raises:
        ValueError: the checkpoint is in no known format, in a variant of one that no layer of ours can hold, or not of this model.
        FileNotFoundError: there is no such file.
        ImportError: a package that is needed to read the file is not installed.
    """
    checkpoint = read(path_or_state_dict)
    if quantization_config is not None:
        checkpoint.config = quantization_config
    if rename is not None:
        checkpoint = renamed(checkpoint, rename)
    importer = _importer_of(checkpoint)
    modules = dict(model.named_modules(remove_duplicate=False))
    linears = {name: module for name, module in modules.items() if is_plain_linear(module)}

    with torch.no_grad():
        layers = importer.layers(checkpoint, linears)
    for name, layer in layers.items():
        _check_layer(name, layer, linear_of(linears, name))

    wanted = _wanted(model, layers)
    dense = _with_tied(checkpoint.tensors, wanted)
    missing = sorted(wanted.keys() - dense.keys()) + sorted(_left_on_meta(model, wanted))
    unexpected = sorted(dense.keys() - wanted.keys())
    if strict and missing:
        raise CheckpointError(f"the checkpoint must have all tensors of the model, but lacks {_listed(missing)}")
    if strict and unexpected:
        raise CheckpointError(f"the model must have all tensors of the checkpoint, but lacks {_listed(unexpected)}")
    dense = {name: tensor for name, tensor in dense.items() if name in wanted}
    for name, tensor in dense.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(f"{name} must be {list(wanted[name].shape)}, but got {list(tensor.shape)}")

    quantized = {name: _convert(linears[name], layer) for name, layer in layers.items()}
    _load_dense(model, dense, wanted)
    leave_fast_paths(model)
    stayed = tuple(name for name in linears if name not in layers)
    return LoadReport(importer.NAME, quantized, stayed, tuple(missing), tuple(unexpected), tuple(checkpoint.notes))


def _importer_of(checkpoint: Checkpoint) -> ModuleType:
    for importer in IMPORTERS:
        if importer.recognizes(checkpoint):
            return importer
    known = ", ".join(importer.NAME for importer in IMPORTERS)
    method = checkpoint.config.get("quant_method")
    found = f"its quant_method is {method!r}" if method else "its tensors' names are of none of them"
    raise CheckpointError(f"the checkpoint must be one of {known}, but {found}")


def _check_layer(name: str, layer: ImportedLayer, linear: nn.Linear) -> None:
    shape = [layer.out_features, layer.in_features]
    if shape != [linear.out_features, linear.in_features]:
        raise CheckpointError(
            f"{join(name, 'weight')} must be {[linear.out_features, linear.in_features]}, but got {shape}"
        )
    on_meta = torch.empty(shape, device="meta", dtype=torch.float32)
    for buffer, expected in linear_class_of(layer.config).quantize_weight(on_meta, layer.config).items():
        got = layer.buffers[buffer]
        if got is None:
            continue
        dtypes = _SCALE_DTYPES if expected.dtype in _SCALE_DTYPES else (expected.dtype,)
        if got.shape != expected.shape or got.dtype not in dtypes:
            raise CheckpointError(
                f"{join(name, buffer)} must be {' or '.join(map(str, dtypes))} {list(expected.shape)}, "
                f"but got {got.dtype} {list(got.shape)}"
            )


def _wanted(model: nn.Module, layers: Iterable[str]) -> dict[str, Tensor]:
    """The model's dense Parameters and buffers, by each name that they have in its state dict."""
    converted = {id(model.get_submodule(name)) for name in layers}
    weights = {
        join(name, "weight") for name, module in model.named_modules(remove_duplicate=False) if id(module) in converted
    }
    state = model.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if name not in weights and isinstance(value, Tensor)}


def _with_tied(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with all the names that the model has for them; checkpoints store tied ones once."""
    by_id = {id(wanted[name]): tensor for name, tensor in tensors.items() if name in wanted}
    tied = {name: by_id[id(value)] for name, value in wanted.items() if id(value) in by_id}
    return {**tied, **tensors}


def _left_on_meta(model: nn.Module, wanted: Mapping[str, Tensor]) -> list[str]:
    """Buffers that no checkpoint has (positions, say): the model cannot run if they are on the meta device."""
    saved = {id(value) for value in wanted.values()}
    return [name for name, buffer in model.named_buffers() if buffer.is_meta and id(buffer) not in saved]


def _convert(linear: nn.Linear, layer: ImportedLayer) -> str:
    if not isinstance(linear, QuantLinear):  # else it has two names
        device = None if linear.weight.is_meta else linear.weight.device
        buffers = {name: None if tensor is None else tensor.to(device) for name, tensor in layer.buffers.items()}
        QuantLinear.convert_(linear, layer.config, buffers)
    return linear._format_repr()


@torch.no_grad()
def _load_dense(model: nn.Module, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    as_wanted = {
        name: tensor.to(device=None if wanted[name].is_meta else wanted[name].device, dtype=wanted[name].dtype)
        for name, tensor in tensors.items()
    }
    model.load_state_dict(as_wanted, strict=False, assign=True)
    # Assigning gives each place a Parameter of its own.
    first_place: dict[int, Tensor] = {}
    for name in tensors:
        module_name, _, attribute = name.rpartition(".")
        module = model.get_submodule(module_name)
        owner = module._parameters if attribute in module._parameters else module._buffers
        owner[attribute] = first_place.setdefault(id(wanted[name]), owner[attribute])


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _NAMES_IN_A_SENTENCE
    return ", ".join(names[:_NAMES_IN_A_SENTENCE]) + (f" and {more} more" if more > 0 else "")
