"""What the benchmark has to know of a format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from peers import Candidate, Operator

Constructors = dict[str, Callable[[], Candidate]]

#: Batch sizes, first and last.
DECODE, BETWEEN, PREFILL, ALL = (1, 4), (4, 64), (64, 256), (1, 256)
READ_LIMIT = "read limit"
BEST_DENSE = "best dense"


@dataclass(frozen=True)
class Goal:
    """Over these batch sizes, `operator` reaches `factor` of the limit, or is `factor` times as fast as the peer."""

    operator: Operator
    batches: tuple[int, int]  # first and last
    weights: str
    rival: str  # READ_LIMIT, BEST_DENSE, or the beginning of a candidate's name
    factor: float


@dataclass(frozen=True)
class Format:
    """A format of weights: our operators, their peers, and the speeds that they are meant to have."""

    name: str  # of the results' files
    kind: str  # of weights, in captions: "4-bit"
    operators: tuple[Operator, ...]
    #: Measured unless `--groups` says otherwise.
    group_sizes: tuple[int, ...]
    #: The one that plots show and that `compare.py` measures.
    usual_group_size: int
    #: For group sizes and a dtype of x: a constructor for every candidate under its name, which `--only` selects it by. Calling
    #: one raises Absent where it cannot run.
    candidates: Callable[[Sequence[int], torch.dtype], Constructors]
    goals: tuple[Goal, ...]
    #: Candidates that the plot shows: ours, dense, and one group size of each peer so that the lines stay apart.
    plotted: tuple[str, ...]

    def operator_of(self, candidate: str) -> Operator | None:
        """The operator that the candidate of this name is; None for a peer."""
        return next((operator for operator in self.operators if operator.names(candidate)), None)
