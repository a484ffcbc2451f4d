"""The candidates: ours and every peer, one file each. Which of them a format is measured with stands in formats/."""

from __future__ import annotations

from peers.base import Absent, Candidate
from peers.ours import Operator

__all__ = ["Absent", "Candidate", "Operator"]
