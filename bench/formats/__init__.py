"""The formats that are benchmarked, one file each."""

from __future__ import annotations

from formats.base import Format, Goal
from formats.fp8 import FP8
from formats.int4 import INT4
from formats.int8 import INT8
from formats.nf4 import NF4
from formats.sparse24 import SPARSE24

#: By name, in the order in which they are measured.
FORMATS: dict[str, Format] = {one.name: one for one in (INT4, INT8, NF4, SPARSE24, FP8)}

__all__ = ["FORMATS", "Format", "Goal"]
