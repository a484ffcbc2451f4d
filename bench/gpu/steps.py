"""The steps of a run before the benchmark: each takes a time limit and says what came of it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gpu import build, device, process

#: What tests/cpp's programs return where there is no device.
SKIPPED_EXIT_CODE = 77
#: The least that is worth starting a program for.
LEAST_SECONDS = 3.0


@dataclass
class Run:
    """What every step knows."""

    out: Path
    dry_run: bool
    quick: bool
    device: dict = field(default_factory=dict)
    build: build.Build | None = None

    @property
    def logs(self) -> Path:
        return self.out / "logs"

    @property
    def torch_device(self) -> str:
        return "cpu" if self.dry_run else "cuda"


@dataclass
class Outcome:
    status: str  # passed | failed | skipped
    notes: list[str] = field(default_factory=list)  # a line each, for the summary
    data: dict = field(default_factory=dict)  # for the JSON

    @staticmethod
    def of(failures: list[str], notes: list[str], data: dict) -> Outcome:
        return Outcome("failed" if failures else "passed", [*failures, *notes], {**data, "failures": failures})


# ---- environment ----


def environment(run: Run, limit_seconds: float) -> Outcome:
    run.device = device.probe(run.dry_run, limit_seconds)
    d = run.device
    run.device["clocks"] = device.clocks()
    toolkit = shutil.which("nvcc") or _toolkit_program("bin/nvcc") or "no nvcc"
    note = (
        f"{d['name']}, compute capability {d['compute_capability'] / 10:.1f}, {d['multiprocessors']} multiprocessors, "
        f"{d['memory_bytes'] >> 30} GiB, driver {d.get('driver', 'none')}; torch {d['torch']}, Python {d['python']}; {toolkit}"
    )
    return Outcome("passed", [note])


def _toolkit_program(path: str) -> str | None:
    for root in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if root and (Path(root) / path).is_file():
            return str(Path(root) / path)
    return None


# ---- side by side ----

Job = TypeVar("Job")


def side_by_side(
    jobs: list[Job], most: int, end: float, start: Callable[[Job, float], process.Process]
) -> Iterator[tuple[Job, process.Finished | None]]:
    """Starts each, in order, with what is left until `end` (of time.monotonic), `most` at a time; gives them as they end. None for those that there
    was no time for."""
    waiting, running = list(jobs), []
    while waiting or running:
        limit = end - time.monotonic()
        while waiting and len(running) < most and limit >= LEAST_SECONDS:
            job = waiting.pop(0)
            running.append((job, start(job, limit)))
        if not running:
            yield from ((job, None) for job in waiting)
            return
        due = next((i for i, (_, process_) in enumerate(running) if process_.is_due()), None)
        if due is None:
            time.sleep(0.02)
            continue
        job, ended = running.pop(due)
        yield job, ended.wait()


def cores() -> int:
    return len(os.sched_getaffinity(0))


# ---- build ----


def make_build(run: Run, limit_seconds: float, folder: Path | None) -> Outcome:
    """Takes the carried build; where there is none of these sources, builds. A dry run takes a build folder of CMake."""
    notes = []
    if run.dry_run:
        folder = folder or device.ROOT / "build"
        programs = sorted((folder / "tests" / "cpp").glob("test_int4_*quantize_cuda_host_release"))
        run.build = build.Build(folder / build.LIBRARY, programs, "the host's", device.commit())
    else:
        try:
            run.build = build.carried(folder or device.ROOT / "build" / "gpu_check")
        except RuntimeError as reason:
            if folder is not None:
                raise
            notes.append(f"not carried: {reason}")
            capability = run.device["compute_capability"]
            # 90 has a variant with more instructions, which kernels may use.
            architecture = "90a-real" if capability == 90 else f"{capability}-real"
            work = device.ROOT / "build" / "gpu_check_here"
            run.build = build.make(work, architecture, run.logs / "build", limit_seconds, cores())
    if not run.build.library.is_file():
        raise RuntimeError(f"{run.build.library} is not there")
    if not run.build.programs:
        notes.append("no C++ test programs: GoogleTest was not found, and no build was carried")
    notes.append(f"{run.build.origin} build, commit {run.build.commit}, {len(run.build.programs)} test programs")
    return Outcome("passed", notes, {"origin": run.build.origin, "commit": run.build.commit})


# ---- C++ tests ----

#: "  cuda_int4_mm (cuda on a device): 12 cases", as tests/cpp/kernels.cpp prints.
KERNEL_LINE = re.compile(r"^  (\w+) \([^)]*\): (?:(\d+) cases|skipped, (.+))$", re.MULTILINE)
GTEST_PASSED = re.compile(r"^\[       OK \] ", re.MULTILINE)
GTEST_NOTHING = "[==========] Running 0 tests"
GTEST_FAILED = re.compile(r"^\[  FAILED  \] ([^\s,]+).*\(\d+ ms\)$", re.MULTILINE)

#: Takes tens of GB of the device's memory, so it runs alone.
GTEST_LARGE = "*RowsMayLieFarApart*"
#: What the others leave to each of these.
LARGE_SECONDS = 4.0
#: Parts of a program that run side by side: much of the time goes into references on the host.
SHARDS = 2


@dataclass
class Program:
    """One run of a test program."""

    path: Path
    label: str
    filter: str = "*"
    environment: dict[str, str] = field(default_factory=dict)
    wrapper: list[str] = field(default_factory=list)

    def start(self, run: Run, limit_seconds: float, environment: dict[str, str]) -> process.Process:
        return process.Process(
            [*self.wrapper, str(self.path), f"--gtest_filter={self.filter}"],
            limit_seconds,
            run.logs / f"{self.label}.log",
            {**os.environ, **environment, **self.environment},
            device.ROOT,
        )


def library_path() -> dict[str, str]:
    """LD_LIBRARY_PATH with what torch brings and the toolkit has: kernels look up cuBLASLt at run time."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    folders = [*sorted(packages.glob("*/lib")), Path("/usr/local/cuda/lib64")]
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": ":".join([*map(str, folders), *([inherited] if inherited else [])])}


def gtest_failures(label: str, finished: process.Finished) -> list[str]:
    failed = [f"{label}: {name} failed" for name in GTEST_FAILED.findall(finished.output)]
    if finished.timed_out:
        started = re.findall(r"^\[ RUN      \] (\S+)", finished.output, re.MULTILINE)
        failed.append(
            f"{label}: not done after {finished.seconds:.0f} s, last in {started[-1] if started else 'its start'}"
        )
    elif finished.exit_code != 0 and not failed:
        failed.append(f"{label}: exit code {finished.exit_code}: {' | '.join(finished.tail(3))}")
    return failed


def cpp_tests(run: Run, limit_seconds: float) -> Outcome:
    """Every program: all its tests, a share of their cases, and each kernel must have run."""
    if not run.build.programs:
        return Outcome("skipped", ["there are no test programs"])
    end = time.monotonic() + limit_seconds
    percent = "1" if run.dry_run else "20" if run.quick else "50"
    environment = {
        "TORCHAO_OPS_TEST_PERCENT": percent,
        "TORCHAO_OPS_TEST_EXHAUSTIVE_PERCENT": percent,
        **library_path(),
    }
    together, alone = [], []
    for path in run.build.programs:
        for shard in range(SHARDS):
            shards = {"GTEST_TOTAL_SHARDS": str(SHARDS), "GTEST_SHARD_INDEX": str(shard)}
            together.append(Program(path, f"{path.name}.{shard}", f"*-{GTEST_LARGE}", shards))
        if "_mm_" in path.name:
            alone.append(Program(path, f"{path.name}.far_apart", GTEST_LARGE))
            pinned = {"TORCHAO_OPS_BATCH_INVARIANT": "1"}
            together.append(Program(path, f"{path.name}.batch_invariant", "*RowsDoNotDependOnTheirNumber*", pinned))

    failures, notes, passed, cases = [], [], 0, Counter()
    # Products take longest: they begin first.
    together.sort(key=lambda program: "_mm_" not in program.path.name)
    for programs, most, until in (
        (together, cores(), end - LARGE_SECONDS * len(alone)),
        (alone, 1, end),
    ):
        for program, finished in side_by_side(
            programs, most, until, lambda program, limit: program.start(run, limit, environment)
        ):
            if finished is None:
                failures.append(f"{program.label}: no time left to run it")
                continue
            if finished.exit_code == SKIPPED_EXIT_CODE:
                failures.append(f"{program.label}: it sees no CUDA device")
                continue
            failures += gtest_failures(program.label, finished)
            passed += len(GTEST_PASSED.findall(finished.output))
            for kernel, count, reason in KERNEL_LINE.findall(finished.output):
                cases[kernel] += int(count or 0)
                notes += [f"{kernel}: skipped, {reason}"] if reason else []
    failures += [f"{kernel}: no case ran" for kernel, count in cases.items() if count == 0]
    if not cases:
        failures.append("no kernel ran")
    notes.append(f"{passed} GoogleTests passed, {sum(cases.values())} cases of {len(cases)} kernels")
    return Outcome.of(failures, notes, {"passed": passed, "cases": dict(cases)})


# ---- Python tests ----

PYTEST_LINE = re.compile(r"^(\S+\.py::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.MULTILINE)
PYTEST_NO_TESTS = 5
#: Files at a time: most of their time goes into imports and compilers.
PYTEST_PROCESSES = max(4, cores() // 2)

#: Where tqdm is not installed: the package imports it, the tests do not look at it.
TQDM_STAND_IN = """
class tqdm:
    def __init__(self, *arguments, **options): pass
    def __enter__(self): return self
    def __exit__(self, *exception): pass
    def update(self, count=1): pass
"""


def python_environment(run: Run) -> dict[str, str]:
    paths = [str(device.ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "TORCHAO_OPS_LIBRARY": str(run.build.library),
        "TORCHAO_OPS_TEST_DEVICE": run.torch_device,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def python_tests(run: Run, limit_seconds: float) -> Outcome:
    """tests/py on the device, file by file."""
    end = time.monotonic() + limit_seconds
    environment = python_environment(run)
    notes = []
    if importlib.util.find_spec("pytest") is None:
        return Outcome("failed", ["pytest is not installed"])
    if importlib.util.find_spec("tqdm") is None:
        stand_in = run.out / "stand_ins" / "tqdm"
        stand_in.mkdir(parents=True, exist_ok=True)
        (stand_in / "__init__.py").write_text("")
        (stand_in / "auto.py").write_text(TQDM_STAND_IN)
        environment["PYTHONPATH"] += os.pathsep + str(stand_in.parent)
        notes.append("tqdm is not installed: a stand-in was used")

    files = sorted((device.ROOT / "tests" / "py").glob("test_*.py"))
    options = ["-v", "--tb=short", "-p", "no:cacheprovider"]
    if run.dry_run:
        files, options = [file for file in files if file.stem == "test_int4_values"], [*options, "-k", "example"]
    failures, counts = [], Counter()

    def start(file: Path, limit: float) -> process.Process:
        command = [sys.executable, "-m", "pytest", *options, str(file)]
        return process.Process(
            command, limit, run.logs / f"{file.stem}.log", {**os.environ, **environment}, device.ROOT
        )

    for file, finished in side_by_side(files, PYTEST_PROCESSES, end, start):
        if finished is None:
            failures.append(f"{file.name}: no time left to run it")
            continue
        results = PYTEST_LINE.findall(finished.output)
        counts.update(word for _, word in results)
        failures += [
            f"{name.rsplit('/', 1)[-1]} {word.lower()}" for name, word in results if word in ("FAILED", "ERROR")
        ]
        missing = re.search(r"ModuleNotFoundError: No module named '([^']+)'", finished.output)
        if finished.timed_out:
            failures.append(f"{file.name}: not done after {finished.seconds:.0f} s, {len(results)} tests")
        elif missing and not results:
            notes.append(f"{file.name}: skipped, {missing[1]} is not installed")
        elif finished.exit_code not in (0, PYTEST_NO_TESTS) and not any(
            word in ("FAILED", "ERROR") for _, word in results
        ):
            failures.append(f"{file.name}: exit code {finished.exit_code}: {' | '.join(finished.tail(3))}")
    if counts["PASSED"] == 0:
        failures.append("no test passed")
    notes.append(", ".join(f"{count} {word.lower()}" for word, count in sorted(counts.items())) or "no tests")
    return Outcome.of(failures, notes, {"counts": dict(counts)})


# ---- compute-sanitizer ----

SANITIZER_TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
#: Random shapes find most; tests with large or many cases would take minutes.
SANITIZER_FILTER = "*RandomShapes*:*Ties*:*HugeGroupSize*:*TheUnusedNibble*:*AnyBits*:*UnusualValues*"
SANITIZER_EXIT_CODE = 99
SANITIZER_SUMMARY = re.compile(
    r"^========= (?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)", re.MULTILINE
)

#: A dry run's stand-in: runs the program and says what the tool would.
FAKE_SANITIZER = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
"$@"
code=$?
echo "========= ERROR SUMMARY: 0 errors"
exit $code
"""


def sanitizer(run: Run, limit_seconds: float) -> Outcome:
    """compute-sanitizer's tools, one after the other, on a few cases of every program."""
    if not run.build.programs:
        return Outcome("skipped", ["there are no test programs"])
    tool = shutil.which("compute-sanitizer") or _toolkit_program("bin/compute-sanitizer")
    if run.dry_run:
        tool = str(run.out / "fake_sanitizer")
        Path(tool).write_text(FAKE_SANITIZER)
        Path(tool).chmod(0o755)
    if tool is None:
        return Outcome("skipped", ["compute-sanitizer was not found"])
    end = time.monotonic() + limit_seconds
    environment = {
        "TORCHAO_OPS_TEST_SANITIZER": "1",
        "TORCHAO_OPS_TEST_PERCENT": "1" if run.dry_run or run.quick else "2",
        **library_path(),
    }
    failures, notes = [], []
    for i, kind in enumerate(SANITIZER_TOOLS):
        limit = (end - time.monotonic()) / (len(SANITIZER_TOOLS) - i)
        if limit < LEAST_SECONDS:
            notes.append(f"{kind}: not run, no time left")
            continue
        wrapper = [tool, f"--tool={kind}", f"--error-exitcode={SANITIZER_EXIT_CODE}", "--print-limit=20"]
        programs = [
            Program(path, f"{kind}.{path.name}", SANITIZER_FILTER, wrapper=wrapper) for path in run.build.programs
        ]
        done = 0
        for program, finished in side_by_side(
            programs,
            cores(),
            time.monotonic() + limit,
            lambda program, seconds: program.start(run, seconds, environment),
        ):
            if finished is None:
                notes.append(f"{program.label}: not run, no time left")
                continue
            reports, note = sanitizer_reports(program.label, finished)
            failures += reports
            notes += note
            done += not reports and not note
        if done == len(programs):
            notes.append(f"{kind}: no error")
    return Outcome.of(failures, notes, {})


def sanitizer_reports(label: str, finished: process.Finished) -> tuple[list[str], list[str]]:
    """Failures, and notes on what was not checked."""
    if finished.timed_out:
        return [], [f"{label}: shortened, not done after {finished.seconds:.0f} s"]
    summary = SANITIZER_SUMMARY.search(finished.output)
    if summary is None:
        return [], [f"{label}: did not run: {' | '.join(finished.tail(3))}"]
    found = int(summary[1] or summary[2] or 0)
    if found:
        places = re.findall(r"^=========\s+at (.+?)(?:\+0x[0-9a-f]+.*)?$", finished.output, re.MULTILINE)
        ours = sorted({place for place in places if "torchao_ops" in place})
        if places and not ours:
            return [], [f"{label}: {found} reports, none in a kernel of ours"]
        return [f"{label}: {found} reports, at {'; '.join(ours[:3]) or 'see its log'}"], []
    nothing = [f"{label}: no test of it is selected"] if GTEST_NOTHING in finished.output else []
    return [*nothing, *gtest_failures(label, finished)], []
