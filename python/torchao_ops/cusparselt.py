"""2:4 sparse weights in cuSPARSELt's layout, kept beside the weight they were made of."""

import functools
import os
import weakref

import torch
from torch import Tensor

from .ops.capabilities import capabilities


@functools.cache
def _is_found() -> bool:
    return capabilities()["cusparselt"] and torch.backends.cusparselt.version() >= 800


def is_available(device: torch.device) -> bool:
    """Whether the `sparse24_cusparselt_` operators work on a device: CUDA, Ampere or newer, with cuSPARSELt 0.8 or newer in the process."""
    return device.type == "cuda" and _is_found() and torch.cuda.get_device_capability(device) >= (8, 0)


@functools.cache
def is_batch_invariant() -> bool:
    """As the library reads it."""
    return os.environ.get("TORCHAO_OPS_BATCH_INVARIANT") == "1"


def can_pack_now(device: torch.device) -> bool:
    """Packing waits for the device, which the capture of a graph forbids."""
    return device.type != "cuda" or not torch.cuda.is_current_stream_capturing()


class PackedWeight:
    """A weight in cuSPARSELt's layout, and of what it was made: for as long as that is what it was."""

    def __init__(self, values: Tensor, bitmask: Tensor, in_features: int) -> None:
        self._sources = [_Source(values), _Source(bitmask)]
        self.packed = torch.ops.torchao.sparse24_cusparselt_compress(values, bitmask, in_features)

    def is_of(self, values: Tensor, bitmask: Tensor) -> bool:
        return all(source.is_still(tensor) for source, tensor in zip(self._sources, (values, bitmask), strict=True))


class _Source:
    """A tensor and what its numbers were. By reference: an id and an address are given to another tensor once they are free."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = weakref.ref(tensor)
        self._address, self._version = tensor.data_ptr(), tensor._version

    def is_still(self, tensor: Tensor) -> bool:
        return self._tensor() is tensor and (tensor.data_ptr(), tensor._version) == (self._address, self._version)
