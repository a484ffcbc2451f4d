"""Runs the C++ and the Python tests and says at the end what ran, what was skipped and why.

Fails if a test fails, if there are no tests, if the kernels of an instruction set that this CPU has were not tested, or the CUDA kernels that were
built: on the host where the build has programs for that, on a device where there is one.
"""

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

# Flags of /proc/cpuinfo that csrc/cpu/isa.cpp asks the CPU for. Read here again: a library that fails to see
# its CPU's best instruction set must not hide that it was not tested.
AVX2_FLAGS = {"avx2", "fma"}
AVX512_FLAGS = AVX2_FLAGS | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vbmi", "avx512_vnni"}
ISA_FLAGS = {
    "scalar": set(),
    "avx2": AVX2_FLAGS,
    "avx512": AVX512_FLAGS,
    "avx512_bf16": AVX512_FLAGS | {"avx512_bf16"},
    "avx512_vbmi2": AVX512_FLAGS | {"avx512_bf16", "avx512_vbmi2"},
}

# What the C++ test programs print of each kernel (tests/cpp/kernels.cpp): "  name (isa): 12 cases" or
# "  name (isa): skipped, reason".
KERNEL_LINE = re.compile(r"^  \w+ \((?P<isa>[^)]+)\): (?:(?P<cases>\d+) cases|skipped, (?P<reason>.+))$", re.MULTILINE)


# What test programs of CUDA kernels print in place of an instruction set (tests/cpp/cuda_memory.cpp).
CUDA_ON_HOST = ("cuda on the host", "cuda on the host, asan", "cuda on the host, race")
CUDA_ON_DEVICE = "cuda on a device"


@dataclass
class Result:
    """What one runner did."""

    runner: str
    exit_code: int
    seconds: float
    closing_line: str
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    kernel_cases: Counter[str] = field(default_factory=Counter)  # by instruction set


def cpu_isas() -> list[str]:
    flags_line = re.search(r"^flags\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    flags = set(flags_line[1].split()) if flags_line else set()
    return [isa for isa, needed in ISA_FLAGS.items() if needed <= flags]


def cuda_places(build: Path) -> list[str]:
    """Where the CUDA kernels of this build can be run here."""
    programs = build / "tests" / "cpp"
    places = list(CUDA_ON_HOST) if list(programs.glob("test_int*_cuda_host_release")) else []
    if list(programs.glob("test_int*_cuda_device")) and list(Path("/dev").glob("nvidia[0-9]*")):
        places.append(CUDA_ON_DEVICE)
    return places


def run(runner: str, command: list[str], closing_pattern: str, report: Path) -> Result:
    """Shows the runner's output as it comes; its report is a JUnit file."""
    report.unlink(missing_ok=True)
    print(f"\n$ {' '.join(command)}", flush=True)
    start = time.monotonic()
    closing_line = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(closing_pattern, line):
                closing_line = line.strip()
    result = Result(runner, process.returncode, time.monotonic() - start, closing_line)
    if report.is_file():
        for case in ElementTree.parse(report).iter("testcase"):
            add_case(result, case)
    return result


def add_case(result: Result, case: ElementTree.Element) -> None:
    skip = case.find("skipped")
    # ctest calls "notrun" a test whose program is missing, and also one that skips itself by its exit code.
    skips_itself = skip is not None and skip.get("message", "").startswith("SKIP_RETURN_CODE")
    not_run = case.get("status") == "notrun" and not skips_itself
    if case.find("failure") is not None or case.find("error") is not None or not_run:
        result.failed.append(".".join(filter(None, [case.get("classname"), case.get("name")])))
    elif skip is not None:
        # A program that cannot run at all says why (tests/cpp/main.cpp); ctest only knows its exit code.
        reason = re.search(r"^PROGRAM SKIPPED: (.+)$", case.findtext("system-out", ""), re.MULTILINE)
        result.skipped[reason[1] if reason else skip.get("message", "no reason given")] += 1
    else:
        result.passed += 1

    output = case.findtext("system-out", "")
    for kernel in KERNEL_LINE.finditer(output):
        if kernel["cases"] is not None:
            result.kernel_cases[kernel["isa"]] += int(kernel["cases"])
        elif "emulat" not in kernel["reason"]:
            result.skipped[f"{kernel['isa']} kernel: {kernel['reason']}"] += 1
    # A test that skips itself within a GoogleTest program prints 'file:line: Skipped' and, on the next line, why.
    result.skipped.update(re.findall(r": Skipped\n(.+)", output))


def print_summary(results: list[Result], untested: list[str]) -> None:
    print("\n---- what ran ----")
    for result in results:
        print(
            f"{result.runner}: {result.passed} passed, {len(result.failed)} failed, "
            f"{result.skipped.total()} skipped in {result.seconds:.0f} s"
        )
        for name in result.failed:
            print(f"  FAILED {name}")
        for isa, cases in sorted(result.kernel_cases.items()):
            print(f"  {isa} kernels: {cases} cases")
        for reason, count in result.skipped.items():
            print(f"  skipped {count}: {reason}")
    print(f"instruction sets of this CPU: {', '.join(cpu_isas())}")
    for isa in untested:
        what = "this build has kernels for" if isa.startswith("cuda") else "this CPU has"
        print(f"  FAILED: {what} {isa}, but no such kernel was tested")
    for result in results:
        print(f"{result.runner}: {result.closing_line or f'exit code {result.exit_code}'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="1", help="tests at a time")
    arguments = parser.parse_args()

    root = Path(__file__).resolve().parents[1]
    build = root / "build"
    ctest = run(
        "ctest",
        ["ctest", "--test-dir", str(build), "--output-on-failure", "--no-tests=error", "--parallel", arguments.jobs]
        # The programs' own summaries must reach the report whole.
        + ["--output-junit", str(build / "ctest.xml"), "--test-output-size-passed", "1000000"],
        r"tests passed, \d+ tests failed out of",
        build / "ctest.xml",
    )
    pytest = run(
        "pytest",
        [sys.executable, "-m", "pytest", "--numprocesses", arguments.jobs, "--dist", "worksteal"]
        + [f"--junitxml={build / 'pytest.xml'}", str(root / "tests" / "py")],
        r"^=+ .*(passed|failed|error|no tests ran).* in ",
        build / "pytest.xml",
    )
    results = [ctest, pytest]
    # Emulated kernels, "avx512, emulated", do not count.
    expected = cpu_isas() + cuda_places(build)
    untested = [isa for isa in expected if ctest.kernel_cases[isa] == 0]
    print_summary(results, untested)
    return int(bool(untested) or any(result.exit_code != 0 or result.passed == 0 for result in results))


if __name__ == "__main__":
    sys.exit(main())
