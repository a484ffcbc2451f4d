"""Times every candidate in a process of its own, and writes what it finds to a journal as it goes.

python -m gpu.measure --journal FILE --library LIBTORCHAO_OPS.SO --device cuda --seconds 200 [--quick]
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from weights import Weight

from gpu import ceilings, device, peers
from gpu.journal import Journal
from gpu.timing import MOST_CALLS, RUN_SECONDS, Call, Timer, Times, call_all, timer_for

#: (out_features, in_features), the most telling first: if time runs out, the rest is left out.
SHAPES = [
    (8192, 8192),
    (4096, 4096),
    (14336, 4096),
    (8192, 28672),
    (11008, 4096),
    (4096, 11008),
    (8192, 16384),
    (7168, 20480),
]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 512, 2048]
QUICK_SHAPES = SHAPES[:3]
QUICK_BATCHES = [1, 16, 128, 2048]
DRY_RUN_SHAPES = [(256, 1024), (72, 384)]
DRY_RUN_BATCHES = [1, 16]

#: Copies of a weight that are read in turn exceed the cache by this factor, so that each is read from memory.
COLD_CACHE_FACTOR = 2.5
#: From this batch size on the arithmetic takes longer than reading, and fewer copies do.
COMPUTE_BOUND_BATCH = 128
COMPUTE_BOUND_COPIES = 2
#: A larger error (relative Frobenius norm) is one of the candidate: rounding to bf16 costs 2e-3, activations in int8 1e-2, in
#: float8 2.6e-2.
MAX_ERROR = {"exact": 5e-3, "int8": 3e-2, "float8": 4e-2}
ROUNDS = 15
QUICK_ROUNDS = 5
DRY_RUN_ROUNDS = 2


@dataclass
class Row:
    """One candidate at one shape and batch size, or one conversion of a weight (batch 0)."""

    out_features: int
    in_features: int
    batch: int
    candidate: str
    ours: bool
    activations: str
    bytes: int  # of the weight; of a conversion: read and written
    error: float | None = None
    seconds: float | None = None  # in a CUDA graph, the fastest round
    median_seconds: float | None = None
    eager_seconds: float | None = None  # called from Python one by one
    rounds: int = 0
    problem: str | None = None


@dataclass
class Entry:
    row: Row
    calls: list[Call]
    graph: Call | None = None
    times: Times | None = None
    eager_times: Times | None = None


class Measurement:
    def __init__(self, journal: Journal, timer: Timer, torch_device: str, rounds: int, deadline: float):
        self._journal = journal
        self._timer = timer
        self._device = torch_device
        self._rounds = rounds
        self._deadline = deadline
        is_cuda = torch_device == "cuda"
        self._cache_bytes = torch.cuda.get_device_properties(0).L2_cache_size if is_cuda else 1 << 16

    def run(self, shapes: list[tuple[int, int]], batches: list[int]) -> None:
        for name in self._journal.unfinished():
            self._journal.write("note", f"{name}: the process crashed")
            self._journal.write("crashed", name)
        self._candidates, self._conversions, absent = peers.construct(self._device)
        for line in absent:
            if line not in self._journal.notes:
                self._journal.write("note", line)
        if self._journal.ceilings is None:
            self._journal.write("begin", "ceilings")
            found = ceilings.measure(self._timer, self._device, self._rounds)
            self._journal.write("ceilings", found.to_json())
            self._journal.write("end", "ceilings")
        for shape in shapes:
            name = f"{shape[0]}x{shape[1]}"
            if self._journal.is_done(name):
                continue
            if self._is_late():
                self._journal.write("note", f"{name}: not measured, no time left")
                continue
            self._shape(shape, batches, is_first=shape == shapes[0])
            self._journal.write("end", name)
            gc.collect()
            if self._device == "cuda":
                torch.cuda.empty_cache()
                self._journal.write("clocks", {"after": name, **device.clocks()})

    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _copies(self, bytes_: int) -> int:
        return max(2, math.ceil(COLD_CACHE_FACTOR * self._cache_bytes / max(bytes_, 1)))

    def _shape(self, shape: tuple[int, int], batches: list[int], is_first: bool) -> None:
        weight = Weight(*shape, self._device)
        generator = torch.Generator(self._device).manual_seed(1)
        inputs = torch.randn(max(batches), shape[1], generator=generator, device=self._device).bfloat16()
        candidates = [c for c in self._candidates if is_first or not c.first_shape_only]
        expected: dict[object, torch.Tensor] = {}
        for candidate in candidates:
            if candidate.weight_key() not in expected:
                expected[candidate.weight_key()] = inputs.double() @ candidate.dequantized(weight).double().T
        problems: dict[str, str | None] = {}
        for candidate in candidates:
            copies = self._copies(candidate.weight_bytes(weight))
            problems[candidate.name] = self._attempt(
                f"{shape[0]}x{shape[1]} {candidate.name}", partial(candidate.prepare, weight, copies)
            )
        for batch in batches:
            name = f"{shape[0]}x{shape[1]} M={batch}"
            if self._journal.is_done(name) or name in self._journal.crashed:
                continue
            if self._is_late():
                self._journal.write("note", f"{name}: not measured, no time left")
                continue
            entries = []
            for candidate in candidates:
                if candidate.most_rows is not None and batch > candidate.most_rows:
                    continue
                row = Row(
                    *shape,
                    batch,
                    candidate.name,
                    candidate.is_ours,
                    candidate.activations,
                    candidate.weight_bytes(weight),
                    problem=problems.get(candidate.name),
                )
                copies = self._copies(row.bytes) if batch < COMPUTE_BOUND_BATCH else COMPUTE_BOUND_COPIES
                entry = Entry(row, [])
                if row.problem is None:
                    bind = partial(
                        self._bind, entry, candidate, inputs[:batch], expected[candidate.weight_key()][:batch], copies
                    )
                    row.problem = self._attempt(f"{name} {candidate.name}", bind) or row.problem
                entries.append(entry)
            self._journal.write("begin", name)
            self._time(entries)
            for entry in entries:
                self._journal.write("row", asdict(entry.row))
            self._journal.write("end", name)
        for candidate in candidates:
            candidate.release()
        for conversion in self._conversions:
            if is_first or not conversion.first_shape_only:
                self._conversion(conversion, weight)

    def _attempt(self, name: str, work: Call) -> str | None:
        """Runs something for the first time: in an earlier process it may have crashed, and it may raise. Returns what went wrong."""
        if name in self._journal.crashed:
            return "crashed the process"
        problem = None
        self._journal.write("begin", name)
        try:
            work()
            self._timer.synchronize()  # a kernel's fault shows here
        except Exception as error:  # whatever a peer raises, the others go on and the report says it
            problem = sentence(error)
            if self._device == "cuda" and not _device_works():
                raise  # the process is of no use any more; the next one leaves this out
        self._journal.write("end", name)
        return problem

    def _bind(self, entry: Entry, candidate: peers.Candidate, inputs, expected, copies: int) -> None:
        x = candidate.input(inputs)
        row = entry.row
        calls = [candidate.bind(copy % candidate.copies, x) for copy in range(copies)]
        y = calls[0]()
        row.error = float((y.double() - expected).norm() / expected.norm())
        if not row.error <= MAX_ERROR[candidate.activations]:  # NaN is wrong, too
            row.problem = f"wrong: error {row.error:.1e}"
            return
        for call in calls[1:]:
            call()
        self._prepare(entry, calls, y)

    def _prepare(self, entry: Entry, calls: list[Call], first) -> None:
        """Enough calls for a run that can be timed, and their graph."""
        row = entry.row
        repeats = math.ceil(RUN_SECONDS / max(self._timer.estimate(calls[0]), 1e-6) / len(calls))
        entry.calls = (calls * repeats)[: max(MOST_CALLS, len(calls))]
        entry.times, entry.eager_times = Times(), Times()
        entry.graph, captured = self._timer.graph(entry.calls)
        if row.ours and not _same(captured, first):
            row.problem = "a CUDA graph's replay gives other bits"

    def _conversion(self, conversion: peers.Conversion, weight: Weight) -> None:
        name = f"{weight.shape[0]}x{weight.shape[1]} {conversion.name}"
        if self._journal.is_done(name):
            return
        if self._is_late():
            self._journal.write("note", f"{name}: not measured, no time left")
            return
        row = Row(*weight.shape, 0, conversion.name, conversion.is_ours, "", conversion.bytes_moved(weight))
        entry = Entry(row, [])

        def work() -> None:
            row.problem = conversion.problem(weight)
            if row.problem is None:
                calls = conversion.calls(weight, self._copies(row.bytes))
                self._prepare(entry, calls, calls[0]())

        row.problem = self._attempt(name, work) or row.problem
        self._time([entry])
        self._journal.write("row", asdict(row))
        self._journal.write("end", name)  # of one that crashed an earlier process, too

    def _time(self, entries: list[Entry]) -> None:
        ready = [entry for entry in entries if entry.row.problem is None]
        runs = []
        for entry in ready:
            runs.append((entry.graph, len(entry.calls), True, entry.times))
            runs.append((partial(call_all, entry.calls), len(entry.calls), False, entry.eager_times))
        gc.disable()
        try:
            # One round is always made: a case that was prepared is worth it.
            self._timer.interleave(runs, 1, math.inf)
            self._timer.interleave(runs, self._rounds - 1, self._deadline)
        finally:
            gc.enable()
        for entry in ready:
            row = entry.row
            row.seconds, row.median_seconds = entry.times.best, entry.times.median
            row.eager_seconds, row.rounds = entry.eager_times.best, len(entry.times.rounds)
            entry.graph = None


def _same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return peers.same_bits(a, b)
    return all(_same(x, y) for x, y in zip(a, b, strict=True))


def _device_works() -> bool:
    try:
        torch.zeros(1, device="cuda").add_(1).item()
    except RuntimeError:
        return False
    return True


def sentence(error: Exception) -> str:
    """The first line of an exception, with its type."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True, help="cpu: a dry run")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.seconds
    torch.ops.load_library(arguments.library)
    shapes, batches, rounds = (
        (QUICK_SHAPES, QUICK_BATCHES, QUICK_ROUNDS) if arguments.quick else (SHAPES, BATCHES, ROUNDS)
    )
    if arguments.device == "cpu":
        torch.set_num_threads(1)  # small products; others may want the cores
        shapes, batches, rounds = DRY_RUN_SHAPES, DRY_RUN_BATCHES, DRY_RUN_ROUNDS
    measurement = Measurement(
        Journal(arguments.journal), timer_for(arguments.device), arguments.device, rounds, deadline
    )
    with torch.inference_mode():
        measurement.run(shapes, batches)
    return 0


if __name__ == "__main__":
    sys.exit(main())
