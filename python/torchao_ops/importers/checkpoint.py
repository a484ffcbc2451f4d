"""What a checkpoint holds before anyone knows its format, and reading it from files."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Where tools leave their quantization config: most in config.json, AutoGPTQ and GPTQModel in a file of their own, too.
_CONFIG_KEY = "quantization_config"
_CONFIG_FILE = "config.json"
_GPTQ_CONFIG_FILE = "quantize_config.json"
_INDEX_SUFFIX = ".safetensors.index.json"
_AFTER_A_NAME = " '."
_TORCH_SUFFIXES = (".pt", ".pth", ".bin")


class CheckpointError(ValueError):
    """What a checkpoint has does not go into this model, or into any format of ours."""

    def __init__(self, sentence: str) -> None:
        # A model that is one layer has no name to begin with.
        super().__init__(f"load_quantized: {'the model' if sentence[0] in _AFTER_A_NAME else ''}{sentence}")


@dataclass
class Checkpoint:
    """Tensors by name; importers take theirs out, and what is left is dense.

    config is the quantization config that came with the tensors, metadata the strings in the files' headers. Values of `tensors` that are
    no tensors are what a format wraps its own in (see gguf.py), or hqq's plain numbers.
    """

    tensors: dict[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def modules_with(self, suffix: str) -> Iterator[str]:
        """The names of the modules that have a tensor of this name; "" is the model itself."""
        for name in list(self.tensors):
            if name == suffix or name.endswith(f".{suffix}"):
                yield name[: -len(suffix)].removesuffix(".")

    def has(self, module: str, suffix: str) -> bool:
        return join(module, suffix) in self.tensors

    def peek(self, module: str, suffix: str) -> Any:
        name = join(module, suffix)
        if name not in self.tensors:
            raise CheckpointError(f"the checkpoint must have {name}, but it has not")
        return self.tensors[name]

    def take(self, module: str, suffix: str) -> Any:
        value = self.peek(module, suffix)
        del self.tensors[join(module, suffix)]
        return value

    def take_if_there(self, module: str, suffix: str) -> Any:
        return self.tensors.pop(join(module, suffix), None)


def join(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name


def read(path_or_state_dict: str | Path | Mapping[str, Tensor]) -> Checkpoint:
    """A state dict, a file of safetensors, GGUF or torch.save, or a folder with such files.

    Tensors of safetensors and torch.save stay in the mapped file until someone writes to them.
    """
    if isinstance(path_or_state_dict, Mapping):
        return Checkpoint(_flat(path_or_state_dict))
    path = Path(path_or_state_dict)
    if not path.exists():
        raise FileNotFoundError(f"load_quantized: {path} must be a file or a folder, but there is none")
    if not path.is_dir():
        return _read_files([path])
    checkpoint = _read_files(_files_of(path))
    checkpoint.config = _config_of(path)
    return checkpoint


def renamed(checkpoint: Checkpoint, rename: Callable[[str], str]) -> Checkpoint:
    tensors = {rename(name): value for name, value in checkpoint.tensors.items()}
    if len(tensors) < len(checkpoint.tensors):
        raise CheckpointError("rename must give each tensor a name of its own, but two got the same")
    checkpoint.tensors = tensors
    return checkpoint


def _config_of(folder: Path) -> Mapping[str, Any]:
    if (folder / _CONFIG_FILE).exists():
        config = json.loads((folder / _CONFIG_FILE).read_text())
        if config.get(_CONFIG_KEY):
            return config[_CONFIG_KEY]
    if (folder / _GPTQ_CONFIG_FILE).exists():
        return json.loads((folder / _GPTQ_CONFIG_FILE).read_text())
    return {}


def _files_of(folder: Path) -> list[Path]:
    indices = sorted(folder.glob(f"*{_INDEX_SUFFIX}"))
    if len(indices) == 1:
        return [folder / name for name in sorted(set(json.loads(indices[0].read_text())["weight_map"].values()))]
    for suffixes in ((".safetensors",), (".gguf",), _TORCH_SUFFIXES):
        files = sorted(file for file in folder.iterdir() if file.suffix in suffixes)
        if files:
            return files
    raise CheckpointError(f"{folder} must have a file of safetensors, GGUF or torch.save, but has none")


def _read_files(files: list[Path]) -> Checkpoint:
    merged = Checkpoint({})
    metadata: dict[str, str] = {}
    for file in files:
        part = _read_file(file)
        twice = merged.tensors.keys() & part.tensors.keys()
        if twice:
            raise CheckpointError(f"{min(twice)} must be in one file, but {file.parent} has it in several")
        merged.tensors.update(part.tensors)
        metadata.update(part.metadata)
    merged.metadata = metadata
    return merged


def _read_file(file: Path) -> Checkpoint:
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, "pt") as opened:
            return Checkpoint(
                {name: opened.get_tensor(name) for name in opened.keys()}, metadata=opened.metadata() or {}
            )
    if file.suffix == ".gguf":
        from . import gguf

        return gguf.read(file)
    if file.suffix in _TORCH_SUFFIXES:
        return Checkpoint(_flat(torch.load(file, map_location="cpu", weights_only=True, mmap=True)))
    raise CheckpointError(f"{file} must end in .safetensors, .gguf, .pt, .pth or .bin, but does not")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """hqq saves a dict per module, with one per weight inside."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
