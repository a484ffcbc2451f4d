"""Fair times for calls that do the same work in different libraries.

The calls take turns in one process, in bursts of a few milliseconds, for several rounds; the figure of each is its
fastest repetition, since a neighbour on the machine can only add time. A turn with more than one thread begins after a
pause in which the thread pool of the turn before stops spinning: every pool is told to spin for less than that (limit_spinning
here, a session option in ONNX Runtime; TBB's stops by itself), so that within a burst the pools are awake, as in a model
that runs layer after layer, and between bursts none takes a core from the next candidate.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

QUIET_SECONDS = 0.002  # longer than any pool spins
BURST_SECONDS = 0.008
MAX_BURST_CALLS = 30


def limit_spinning() -> None:
    """Must run before anything loads OpenMP. 20,000 turns are a few tenths of a millisecond."""
    os.environ["GOMP_SPINCOUNT"] = "20000"


@dataclass
class Contestant:
    """One candidate's calls, one per copy of its weight; about how long one takes; and the times measured, in seconds."""

    calls: list[Callable[[], object]]
    call_seconds: float
    times: list[float] = field(default_factory=list)

    def estimate(self) -> float:
        return min(self.times, default=self.call_seconds)

    def burst(self) -> int:
        return max(1, min(MAX_BURST_CALLS, int(BURST_SECONDS / self.estimate())))


#: "wall" is what a user waits. "cpu" is the processor time of all threads, for single-threaded calls on a busy machine: it
#: leaves out the time for which another process had the core.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds_of(call: Callable[[], object], clock: str = "wall") -> float:
    now = CLOCKS[clock]
    begin = now()
    call()
    return now() - begin


def estimate_seconds(call: Callable[[], object]) -> float:
    """The fastest of a few calls, for planning; a call that takes long is made once."""
    times = [seconds_of(call)]
    while len(times) < 5 and sum(times) < 0.02:
        times.append(seconds_of(call))
    return min(times)


def interleave(
    contestants: list[Contestant], threads: int, weights_warm: bool, rounds: int, budget_seconds: float, clock: str
) -> None:
    """Fills the contestants' `times`.

    weights_warm: only the first copy is used, again and again, and the first call of a burst is not counted. Otherwise
    each call takes the next copy in turn; the caller provides copies that together exceed the cache.
    budget_seconds: about what one contestant may take in all; slow ones get fewer rounds, but at least two (one, if a
    single call takes more than the whole budget several times over).
    clock: a key of CLOCKS.
    """
    for turn in range(rounds):
        for contestant in contestants:
            estimate, burst = contestant.estimate(), contestant.burst()
            least = 2 if estimate < 5 * budget_seconds else 1
            if turn >= max(least, int(budget_seconds / (burst * estimate))):
                continue
            if threads > 1:
                time.sleep(QUIET_SECONDS)
            if weights_warm:
                call = contestant.calls[0]
                if estimate < 0.05:  # beyond, reading the weight is lost in the arithmetic
                    call()
                contestant.times += [seconds_of(call, clock) for _ in range(burst)]
            else:
                for _ in range(burst):
                    call = contestant.calls[len(contestant.times) % len(contestant.calls)]
                    contestant.times.append(seconds_of(call, clock))


class OtherLoad:
    """How many cores other processes (and the hypervisor) kept busy since the start: figures taken beside more than a
    fraction of one are not to be trusted."""

    def __init__(self):
        self._begin = self._sample()

    def cores(self) -> float:
        wall, busy, own = (now - then for now, then in zip(self._sample(), self._begin, strict=True))
        return min(max(0.0, (busy - own) / wall), float(os.cpu_count() or 1))

    @staticmethod
    def _sample() -> tuple[float, float, float]:
        """Seconds: wall clock; all CPUs' time that was not idle; this process's CPU time."""
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, time.process_time()
