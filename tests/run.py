"""Runs the C++ and the Python tests and says at the end what ran, what was skipped and why.

Fails if a test fails, if there are no tests, or if an instruction set that this CPU has was not tested.
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
ISA_FLAGS = {
    "scalar": set(),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vbmi", "avx512_vnni"},
}


@dataclass
class Result:
    """What one runner did."""

    runner: str
    seconds: float
    exit_code: int
    closing_line: str
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # name -> reason


def cpu_isas() -> list[str]:
    flags_line = re.search(r"^flags\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    flags = set(flags_line[1].split()) if flags_line else set()
    return [isa for isa, needed in ISA_FLAGS.items() if needed <= flags]


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
    result = Result(runner, time.monotonic() - start, process.returncode, closing_line)
    if report.is_file():
        read_report(report, result)
    return result


def read_report(report: Path, result: Result) -> None:
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}" if result.runner == "pytest" else case.get("name")
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed.append(name)
        elif skip is not None:
            result.skipped[name] = skip_reason(skip.get("message", ""), case.findtext("system-out", ""))
        elif case.get("status") in ("notrun", "disabled"):
            result.failed.append(name)
        else:
            result.passed.append(name)


def skip_reason(message: str, output: str) -> str:
    """pytest gives the reason itself; GoogleTest prints it on the line after 'file:line: Skipped'."""
    printed = re.search(r": Skipped\n(.+)", output)
    return printed[1].strip() if printed else message


def untested_isas(ctest: Result) -> list[str]:
    """The instruction sets of this CPU that no C++ test named after it exercised natively."""

    def names(isa: str, tests) -> list[str]:
        # A test of AVX-512 code that SIMDe emulates does not count.
        return [test for test in tests if isa in test.lower() and "simde" not in test.lower()]

    return [isa for isa in cpu_isas() if not names(isa, ctest.passed) or names(isa, ctest.skipped)]


def summary(results: list[Result], untested: list[str]) -> None:
    print("\n---- what ran ----")
    for result in results:
        print(
            f"{result.runner}: {len(result.passed)} passed, {len(result.failed)} failed, "
            f"{len(result.skipped)} skipped in {result.seconds:.0f} s"
        )
        for name in result.failed:
            print(f"  FAILED {name}")
        for reason, count in Counter(result.skipped.values()).items():
            print(f"  skipped {count}: {reason}")
    print(f"instruction sets of this CPU: {', '.join(cpu_isas())}")
    for isa in untested:
        print(f"  FAILED: this CPU has {isa}, but the {isa} kernels were not tested")
    for result in results:
        print(f"{result.runner}: {result.closing_line or f'exit code {result.exit_code}'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="1", help="C++ tests at a time")
    parser.add_argument("pytest_arguments", nargs="*", default=["tests/py"])
    arguments = parser.parse_args()

    build = Path(__file__).resolve().parents[1] / "build"
    ctest_report, pytest_report = build / "ctest.xml", build / "pytest.xml"
    ctest = run(
        "ctest",
        ["ctest", "--test-dir", str(build), "--output-on-failure", "--no-tests=error", "--parallel", arguments.jobs]
        + ["--output-junit", str(ctest_report)],
        r"tests passed, \d+ tests failed out of",
        ctest_report,
    )
    pytest = run(
        "pytest",
        [sys.executable, "-m", "pytest", f"--junitxml={pytest_report}", *arguments.pytest_arguments],
        r"^=+ .*(passed|failed|error|no tests ran).* in ",
        pytest_report,
    )
    results = [ctest, pytest]
    untested = untested_isas(ctest)
    summary(results, untested)
    return int(bool(untested) or any(result.exit_code != 0 or not result.passed for result in results))


if __name__ == "__main__":
    sys.exit(main())
