"""One benchmark run: every candidate, at every shape, batch size and thread count, verified before it is timed."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from limits import Limits
from peers import Absent, Candidate
from timing import CLOCKS, Contestant, OtherLoad, estimate_seconds, interleave
from weights import Weight

#: A candidate with a larger error (relative Frobenius norm, against the float64 product of its own dequantized weight)
#: computes something else: it is reported as wrong and not timed. Rounding to bf16 costs about 2e-3, int8 rows 1e-2, 7 bits
#: with one scale for all of x (fbgemm, oneDNN) 2.3e-2, and the 3 bits behind the point of float8 2.6e-2.
MAX_ERROR = {"exact": 5e-3, "int8": 3e-2, "float8": 4e-2}
#: int8 activations cannot have a smaller error than this: a candidate that was asked for them and does have it fell back to
#: exact ones, as OpenVINO does without VNNI, and is compared as such.
LEAST_INT8_ERROR = 1e-3
#: Copies of a weight that are read in turn exceed the last-level cache by this factor, so that each is read from memory.
COLD_CACHE_FACTOR = 2.5
#: A weight that would need more copies than this belongs to a model that fits the cache: it is measured warm only.
MAX_COPIES = 16
#: Above this batch size the arithmetic takes so much longer than reading the weight that cold and warm are the same: only
#: the first of the two is measured.
MAX_BATCH_FOR_BOTH = 64
#: Calls longer than this take two copies in turn: the other candidates' turns in between have emptied the cache anyway.
LONG_CALL_SECONDS = 0.02
#: A call that takes longer than this is timed once, when it is verified.
ONCE_CALL_SECONDS = 1
#: A candidate whose call takes longer than this is not called with more rows.
HOPELESS_CALL_SECONDS = 5


@dataclass
class Row:
    """One measured (or failed) case."""

    out_features: int
    in_features: int
    batch: int
    threads: int
    weights: str  # "cold" | "warm"
    candidate: str
    group_size: int | None
    activations: str  # "exact" | "int8" | "float8", as found by the error
    input_dtype: str
    weight_bytes: int
    error: float | None = None
    seconds: float | None = None
    repetitions: int = 0
    problem: str | None = None
    other_load: float = 0  # cores that other processes kept busy meanwhile


@dataclass
class Settings:
    """What to run. rounds, budget_seconds and clock are those of timing.interleave."""

    shapes: list[tuple[int, int]]
    batches: list[int]
    threads: list[int]
    temperatures: list[str]  # "cold", "warm"
    rounds: int
    budget_seconds: float
    clock: str = "wall"


def construct(candidates: dict[str, Callable[[], Candidate]]) -> tuple[list[Candidate], dict[str, str]]:
    """The candidates that can run here, and the reason for each that cannot."""
    present, absent = [], {}
    for name, constructor in candidates.items():
        try:
            present.append(constructor())
        except Absent as reason:
            absent[name] = str(reason)
    return present, absent


@dataclass
class Entry:
    """A candidate at one batch size: its bound calls and what its verification found."""

    candidate: Candidate
    problem: str | None = None
    error: float | None = None
    activations: str = "exact"
    calls: list[Callable[[], object]] = field(default_factory=list)
    call_seconds: float = 0

    def verify(self, inputs: torch.Tensor, expected: torch.Tensor, copies: int, clock: str) -> None:
        """Checks the result of the first copy, and calls every copy once so that none is timed on its first call.

        Leaves no calls where the time of this one is all that is wanted.
        """
        x = inputs.to(self.candidate.input_dtype).contiguous()
        try:
            call = self.candidate.bind(0, x)
            begin = CLOCKS[clock]()
            y = torch.as_tensor(call())
            self.call_seconds = CLOCKS[clock]() - begin
            y = y.double().view(expected.shape)
            self.error = float((y - expected).norm() / expected.norm())
            if not self.error <= MAX_ERROR[self.candidate.activations]:  # a NaN is wrong as well
                self.problem = f"wrong: error {self.error:.1e}"
                return
            self.activations = self.candidate.activations if self.error > LEAST_INT8_ERROR else "exact"
            if self.call_seconds > ONCE_CALL_SECONDS:
                return
            if self.call_seconds < 10 * LONG_CALL_SECONDS:
                self.call_seconds = estimate_seconds(call)
            if self.call_seconds > LONG_CALL_SECONDS:
                copies = min(copies, 2)
            self.calls = [call] + [self.candidate.bind(copy, x) for copy in range(1, copies)]
            for call in self.calls[1:]:
                call()
        except Exception as error:  # as in prepare: a peer's failure is a line of the report
            self.problem = _sentence(error)

    def row(self, weight: Weight, batch: int, threads: int, temperature: str) -> Row:
        """The row of a case, not timed yet."""
        candidate = self.candidate
        return Row(
            out_features=weight.shape[0],
            in_features=weight.shape[1],
            batch=batch,
            threads=threads,
            weights=temperature,
            candidate=candidate.name,
            group_size=candidate.group_size,
            activations=self.activations,
            input_dtype=str(candidate.input_dtype).removeprefix("torch."),
            weight_bytes=candidate.weight_bytes(weight),
            error=self.error,
            problem=self.problem,
        )


class Contest:
    """Runs the cases and hands out the rows of each as soon as it is done."""

    def __init__(self, settings: Settings, candidates: list[Candidate], limits: dict[int, Limits]):
        self.settings = settings
        self.candidates = candidates
        self.limits = limits

    @torch.inference_mode()
    def run(self, report: Callable[[list[Row]], None]) -> list[Row]:
        rows: list[Row] = []
        for shape in self.settings.shapes:
            weight = Weight(*shape)
            generator = torch.Generator().manual_seed(1)
            inputs = torch.randn(max(self.settings.batches), shape[1], generator=generator).bfloat16()
            expected = self._expected(weight, inputs)
            for threads in self.settings.threads:
                self.limits[threads].measure()
                rows += self._shape(weight, inputs, expected, threads, report)
                self.limits[threads].measure()
        return rows

    def _expected(self, weight: Weight, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """The float64 product for each distinct dequantized weight."""
        torch.set_num_threads(max(self.settings.threads))
        expected: dict[str, torch.Tensor] = {}
        for candidate in self.candidates:
            key = candidate.dequantized_key()
            if key not in expected:
                expected[key] = inputs.double() @ candidate.dequantized(weight).double().T
        return expected

    def _shape(
        self,
        weight: Weight,
        inputs: torch.Tensor,
        expected: dict[str, torch.Tensor],
        threads: int,
        report: Callable[[list[Row]], None],
    ) -> list[Row]:
        """All batch sizes and temperatures with one number of threads."""
        temperatures = self._temperatures(weight)
        problems: dict[str, str] = {}
        copies: dict[str, int] = {}
        for candidate in self.candidates:
            copies[candidate.name] = self._cold_copies(candidate.weight_bytes(weight)) if "cold" in temperatures else 1
            try:
                candidate.prepare(weight, copies[candidate.name], threads)
            except Exception as error:  # whatever a peer raises, the others go on and the report says it
                problems[candidate.name] = _sentence(error)

        rows: list[Row] = []
        for batch in self.settings.batches:
            entries = []
            for candidate in self.candidates:
                entry = Entry(candidate, problem=problems.get(candidate.name))
                if entry.problem is None:
                    entry.verify(
                        inputs[:batch],
                        expected[candidate.dequantized_key()][:batch],
                        copies[candidate.name],
                        self.settings.clock,
                    )
                    if entry.call_seconds > HOPELESS_CALL_SECONDS:
                        problems[candidate.name] = f"a call took {entry.call_seconds:.0f} s at M={batch}"
                entries.append(entry)
            for temperature in temperatures if batch <= MAX_BATCH_FOR_BOTH else temperatures[:1]:
                case = self._time(entries, threads, temperature, weight, batch)
                report(case)
                rows += case
        for candidate in self.candidates:
            candidate.release()
        return rows

    def _time(self, entries: list[Entry], threads: int, temperature: str, weight: Weight, batch: int) -> list[Row]:
        rows = [entry.row(weight, batch, threads, temperature) for entry in entries]
        contestants = [
            Contestant(entry.calls, entry.call_seconds) if entry.calls and entry.problem is None else None
            for entry in entries
        ]
        others = OtherLoad()
        gc.disable()
        try:
            interleave(
                [contestant for contestant in contestants if contestant],
                threads,
                temperature == "warm",
                self.settings.rounds,
                self.settings.budget_seconds,
                self.settings.clock,
            )
        finally:
            gc.enable()
        load = round(others.cores(), 2)
        for row, entry, contestant in zip(rows, entries, contestants, strict=True):
            row.other_load = load
            if contestant:
                row.seconds, row.repetitions = min(contestant.times), len(contestant.times)
            elif entry.problem is None:
                row.seconds, row.repetitions = entry.call_seconds, 1
        return rows

    def _temperatures(self, weight: Weight) -> list[str]:
        smallest = min(candidate.weight_bytes(weight) for candidate in self.candidates)
        if self._cold_copies(smallest) > MAX_COPIES:
            return [temperature for temperature in self.settings.temperatures if temperature == "warm"]
        return self.settings.temperatures

    def _cold_copies(self, weight_bytes: int) -> int:
        cache = max(limits.last_level_cache_bytes for limits in self.limits.values())
        return math.ceil(COLD_CACHE_FACTOR * cache / weight_bytes)


def _sentence(error: Exception) -> str:
    """The first line of an exception, with its type."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
