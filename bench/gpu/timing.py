"""Times of calls on a device, with and without what the host takes to launch them.

Candidates take turns, for several rounds, and the figure is the fastest round: a neighbour, a clock or a refresh can only add time. One figure is
of a CUDA graph that makes all calls: the device's time alone. The other is of the same calls made one by one from Python, as in a
loop without graphs: where it is larger, the host cannot launch as fast as the device is done.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

Call = Callable[[], object]

#: A run that is timed takes about as long at least, so that an event's resolution (half a microsecond) and the first launch are lost in it.
RUN_SECONDS = 4e-4
MOST_CALLS = 400


@dataclass
class Times:
    """Of one call, in seconds, one for each round."""

    rounds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        return min(self.rounds, default=None)

    @property
    def median(self) -> float | None:
        return sorted(self.rounds)[len(self.rounds) // 2] if self.rounds else None


def call_all(calls: list[Call]) -> None:
    """Keeps no result, so that the allocator gives the same memory again and again."""
    for call in calls:
        call()


class Timer(ABC):
    @abstractmethod
    def synchronize(self) -> None: ...

    @abstractmethod
    def graph(self, calls: list[Call]) -> tuple[Call, object]:
        """A call that makes all of them without the host, and where the result of the first one lies after it. Raises RuntimeError where they
        cannot be captured."""

    @abstractmethod
    def seconds(self, run: Call, hide_launch: bool) -> Callable[[], float]:
        """Starts the run, and gives what tells after synchronize() how long it took."""

    def estimate(self, call: Call) -> float:
        """About how long a call takes: the second fastest of four, the first of which may do more than the others."""
        times = []
        for _ in range(4):
            taken = self.seconds(call, hide_launch=True)
            self.synchronize()
            times.append(taken())
        return sorted(times)[1]

    def interleave(self, runs: list[tuple[Call, int, bool, Times]], rounds: int, deadline: float) -> None:
        """Each run in turn, `rounds` times or until the deadline (of time.monotonic); a run is (what, calls in it, hide_launch, times)."""
        for _ in range(rounds):
            if time.monotonic() >= deadline:
                return
            pending = [(self.seconds(run, hide), calls, times) for run, calls, hide, times in runs]
            self.synchronize()
            for taken, calls, times in pending:
                times.rounds.append(taken() / calls)


class CudaTimer(Timer):
    #: Longer than the host takes to enqueue an event and the launch of a graph, so that the device never waits for them: about half a
    #: millisecond at 2 GHz.
    _SLEEP_CYCLES = 1_000_000

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def graph(self, calls: list[Call]) -> tuple[Call, object]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            first = calls[0]()
            call_all(calls[1:])
        graph.replay()  # the first launch uploads it
        torch.cuda.synchronize()
        return graph.replay, first

    def seconds(self, run: Call, hide_launch: bool) -> Callable[[], float]:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        if hide_launch:
            torch.cuda._sleep(self._SLEEP_CYCLES)
        else:
            torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        return lambda: start.elapsed_time(end) * 1e-3


class HostTimer(Timer):
    """In place of a device, for a dry run: the host's clock around calls on the CPU. Its times mean nothing."""

    def synchronize(self) -> None:
        pass

    def graph(self, calls: list[Call]) -> tuple[Call, object]:
        return partial(call_all, calls), calls[0]()

    def seconds(self, run: Call, hide_launch: bool) -> Callable[[], float]:
        begin = time.perf_counter()
        run()
        taken = time.perf_counter() - begin
        return lambda: taken


def timer_for(device: str) -> Timer:
    return CudaTimer() if device == "cuda" else HostTimer()
