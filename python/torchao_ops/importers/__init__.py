"""One file per foreign format: `recognizes` a checkpoint and takes its `layers` out. A new one is listed here."""

from types import ModuleType

from . import awq, bitsandbytes, compressed_tensors, gguf, gptq, hqq, torchao

# GGUF and torchao by what their files say of themselves, the others by their tensors' names.
IMPORTERS: tuple[ModuleType, ...] = (gguf, torchao, compressed_tensors, bitsandbytes, gptq, awq, hqq)
