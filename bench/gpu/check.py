"""The whole run: steps in order, each within its share of the time, whatever the others did; then the report."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from gpu import device, process, report, steps
from gpu.budget import Budget
from gpu.journal import Journal
from gpu.results import Results
from gpu.steps import Outcome, Run

#: The whole command; machines are lent for ten minutes at a time.
BUDGET_SECONDS = 560.0
#: By step, in order: the seconds without which it is not begun, and the most it gets.
LEAST = {"environment": 20, "build": 2, "C++ tests": 40, "Python tests": 40, "sanitizer": 30, "benchmark": 120}
MOST = {"environment": 60, "build": 240, "C++ tests": 120, "Python tests": 120, "sanitizer": 100, "benchmark": 360}
#: What the benchmark may lose to processes that crash, each of which costs the start of another one.
MOST_PROCESSES = 6
STARTUP_SECONDS = 8.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench/gpu_check",
        description="Builds for the CUDA device at hand, runs all its tests, compute-sanitizer and the benchmark, within ten minutes.",
    )
    parser.add_argument(
        "--build", type=Path, help="a folder made by `make gpu-check-build`; default build/gpu_check, if it is there"
    )
    parser.add_argument("--out", type=Path, help="where results and logs go; default bench/results/DEVICE")
    parser.add_argument("--quick", action="store_true", help="fewer tests, shapes and batch sizes")
    parser.add_argument("--seconds", type=float, default=BUDGET_SECONDS, help="the time for all of it (%(default)s)")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="everything but the device: the CPU stands in for it, and nothing is kept",
    )
    arguments = parser.parse_args()
    budget = Budget(arguments.seconds, LEAST)
    with tempfile.TemporaryDirectory(prefix="gpu_check_") as temporary:
        out = arguments.out or (Path(temporary) if arguments.dry_run else None)
        return check(arguments, budget, out)


def check(arguments: argparse.Namespace, budget: Budget, out: Path | None) -> int:
    # Until the device's name is known, there is no folder for its results.
    unnamed = device.ROOT / "build" / "gpu_check_logs"
    run = Run(out or unnamed, arguments.dry_run, arguments.quick)
    results = Results({}, device.commit(), arguments.dry_run)

    def passes(name: str, work: Callable[[float], Outcome]) -> bool:
        seconds = budget.allot(name, MOST[name])
        begin = time.monotonic()
        if seconds == 0:
            outcome = Outcome("skipped", ["no time left"])
        else:
            print(f"-- {name}, at most {seconds:.0f} s", flush=True)
            try:
                outcome = work(seconds)
            except Exception as error:  # whatever it is, the other steps go on and the report says it
                outcome = Outcome("failed", [f"{type(error).__name__}: {error}"])
        taken = time.monotonic() - begin
        results.steps.append({"name": name, "seconds": round(taken, 1), **asdict(outcome)})
        for note in outcome.notes:
            print(f"   {note}", flush=True)
        return outcome.status == "passed"

    has_device = passes("environment", lambda seconds: steps.environment(run, seconds))
    results.device = run.device
    if has_device and out is None:
        run.out = device.ROOT / "bench" / "results" / device.folder_name(run.device["name"])
    if has_device and passes("build", lambda seconds: steps.make_build(run, seconds, arguments.build)):
        results.commit = run.build.commit
        passes("C++ tests", lambda seconds: steps.cpp_tests(run, seconds))
        passes("Python tests", lambda seconds: steps.python_tests(run, seconds))
        passes("sanitizer", lambda seconds: steps.sanitizer(run, seconds))
        passes("benchmark", lambda seconds: benchmark(run, seconds, results))

    path = run.out / "cuda.json"
    results.save(path)
    path.with_suffix(".txt").write_text(report.full(results))
    print(f"\n{report.summary(results)}")
    kept = f"wrote {path} and {path.with_suffix('.txt').name}"
    print(kept if arguments.out or not arguments.dry_run else "nothing was kept")
    return int(any(s["status"] == "failed" for s in results.steps))


def benchmark(run: Run, limit_seconds: float, results: Results) -> Outcome:
    """In a process of its own; one that crashes is followed by another, which leaves out what crashed."""
    end = time.monotonic() + limit_seconds
    path = run.out / "journal.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    failures = []
    environment = steps.python_environment(run)
    environment["PYTHONPATH"] = f"{device.ROOT / 'bench'}:{environment['PYTHONPATH']}"
    for attempt in range(MOST_PROCESSES):
        seconds = end - time.monotonic() - STARTUP_SECONDS
        if seconds < STARTUP_SECONDS and attempt > 0:
            failures.append("no time left to go on after a crash")
            break
        command = [sys.executable, "-m", "gpu.measure", f"--journal={path}", f"--library={run.build.library}"]
        command += [
            f"--device={run.torch_device}",
            f"--seconds={max(seconds, 1):.0f}",
            *(["--quick"] if run.quick else []),
        ]
        finished = process.run(command, end - time.monotonic(), run.logs / f"benchmark.{attempt}.log", environment)
        if finished.exit_code == 0:
            break
        if finished.timed_out:
            failures.append(f"not done after {limit_seconds:.0f} s")
            break
        crashed = Journal(path).unfinished()
        where = ", ".join(crashed) or "its beginning"
        failures.append(f"a process ended with {finished.exit_code} in {where}: {' | '.join(finished.tail(2))}")
        if not crashed:  # nothing to leave out: another one would end the same way
            break
    journal = Journal(path)
    results.ceilings, results.rows, results.clocks = journal.ceilings, journal.rows, journal.clocks
    results.notes += journal.notes
    failures += sorted(
        {f"{row['candidate']}: {row['problem']}" for row in results.rows if row["ours"] and row["problem"]}
    )
    timed = sum(row["seconds"] is not None for row in results.rows)
    if timed == 0:
        failures.append("nothing was timed")
    left_out = [f"{len(journal.notes)} cases left out"] if journal.notes else []
    return Outcome.of(failures, [f"{timed} figures", *left_out], {})
