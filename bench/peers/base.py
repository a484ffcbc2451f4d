"""What the benchmark asks of a candidate, ours or a peer's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from weights import ROW, Integers, Weight, group_text


class Absent(Exception):
    """Raised by a candidate that cannot run here; the message is the reason, shown in the report."""


class Candidate(ABC):
    """One way to compute y = x @ w.T for a quantized or dense weight w.

    Life cycle: the constructor imports what it needs; for each shape and thread count `prepare` makes copies of the
    weight in the library's own form; for each input `bind` gives the call that is timed; `release` frees the copies.
    """

    #: Shown in every table; unique.
    name: str
    #: Weights that share a scale, ROW for those of a row; None for a dense weight.
    group_size: int | None
    #: "exact", "int8" or "float8" (rounded, on the fly or before): which of our operators it is compared with.
    activations: str
    #: torch dtype of the input that it is given. The values are the same for all.
    input_dtype: torch.dtype
    #: Shown in the report, e.g. the version of the library.
    version: str = f"torch {torch.__version__}"

    @abstractmethod
    def weight_bytes(self, weight: Weight) -> int:
        """Bytes that one product must read: codes, scales and zero points."""

    @abstractmethod
    def dequantized(self, weight: Weight) -> torch.Tensor:
        """The [N, K] matrix that it multiplies by, exactly, in fp32."""

    @abstractmethod
    def dequantized_key(self) -> str:
        """Equal for candidates with the same dequantized matrix."""

    @abstractmethod
    def prepare(self, weight: Weight, copies: int, threads: int) -> None:
        """Makes `copies` separate copies of the weight, for calls that use `threads` threads."""

    @abstractmethod
    def bind(self, copy: int, x: torch.Tensor) -> Callable[[], object]:
        """The call to time: multiplies x ([M, K], of `input_dtype`) by that copy of the weight.

        Returns y as something that torch.as_tensor takes, [M, N].
        """

    @abstractmethod
    def release(self) -> None:
        """Frees the copies."""


class IntegerCandidate(Candidate):
    """A candidate that computes with the int4 or int8 weight that all of them share."""

    def __init__(self, bits: int, group_size: int):
        self.bits = bits
        self.group_size = group_size

    def integers(self, weight: Weight) -> Integers:
        return weight.integers(self.bits, self.group_size)

    def weight_bytes(self, weight: Weight) -> int:
        return self.integers(weight).bytes(self.bytes_per_group())

    def require_whole_groups(self, weight: Weight) -> None:
        """For `prepare` of a library that has no partial last group. Raises ValueError."""
        if self.group_size != ROW and weight.shape[1] % self.group_size:
            raise ValueError(f"K = {weight.shape[1]} is no multiple of the group size {self.group_size}")

    @abstractmethod
    def bytes_per_group(self) -> int:
        """Bytes of scale and zero point for each group of weights."""

    def dequantized(self, weight: Weight) -> torch.Tensor:
        return self.integers(weight).dequantized()

    def dequantized_key(self) -> str:
        return f"int{self.bits} {group_text(self.group_size)}"
