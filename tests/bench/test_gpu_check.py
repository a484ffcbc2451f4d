"""bench/gpu_check without a GPU: a dry run of all of it, and what it does when things go wrong."""

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from gpu import build, check, goals, measure, process, report, steps  # noqa: E402 (the path comes first)
from gpu.budget import Budget  # noqa: E402
from gpu.journal import Journal  # noqa: E402
from gpu.results import Results  # noqa: E402

BUILD = Path(os.environ.get("TORCHAO_OPS_BUILD", ROOT / "build"))
#: Where the build has none (no Boost.Context), a dry run skips what runs them.
HOST_PROGRAMS = list((BUILD / "tests" / "cpp").glob("test_int4_*quantize_cuda_host_release"))
HAS_BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
OURS_OF_CUSPARSELT = ("sparse24_cusparselt_mm bfloat16", "sparse24_cusparselt_dynamic_mm int8")
#: Of those that a summary shows, what a dry run has, and for one shape.
OURS = [name for name in report.RIVALS if name not in OURS_OF_CUSPARSELT]
OURS_OF_FIRST_SHAPE = ("sparse24_dynamic_mm int8", "fp8_scaled_mm tensor", "fp8_scaled_mm group, block")
#: Of what a device run prints, the place that runs it keeps the end.
KEPT_CHARACTERS = 12_000


def results_files() -> set[Path]:
    return set((ROOT / "bench" / "results").rglob("*"))


def dry_run(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench" / "gpu_check"), "--dry-run", f"--build={BUILD}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def test_a_dry_run_goes_through_every_step(tmp_path):
    before = results_files()
    done = dry_run(f"--out={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results_files() == before
    results = Results.load(tmp_path / "cuda.json")
    assert results.dry_run
    assert [step["name"] for step in results.steps] == list(check.LEAST)
    skipped = set() if HOST_PROGRAMS else {"C++ tests", "sanitizer"}
    assert {s["name"] for s in results.steps if s["status"] == "skipped"} == skipped
    assert {s["status"] for s in results.steps if s["name"] not in skipped} == {"passed"}
    # Every candidate was verified and timed where it can run.
    batches = len(measure.DRY_RUN_BATCHES)
    for name in (
        *(name for name in OURS if name not in OURS_OF_FIRST_SHAPE),
        "dequantize, F.linear g128",
        "torch _int_mm row",
        "torch _scaled_mm tensor",
        "F.linear bfloat16",
        *(["bitsandbytes NF4 g64"] if HAS_BITSANDBYTES else []),
    ):
        assert len(results.rows_of(name)) == len(measure.DRY_RUN_SHAPES) * batches, name
    for name in (
        *OURS_OF_FIRST_SHAPE,
        "torch int4pack g128",
        "int4_mm g32",
        "int4_mm g128 symmetric",
        "int4_mm g128 fp16",
        "int4_mm g128 fp32",
        "int8_mm g128",
        "int8_dynamic_mm g128",
        "nf4_mm g64 double",
        "torch int8pack row",
    ):
        assert len(results.rows_of(name)) == batches, name
    conversions = ("int4_quantize g128", "int8_quantize row", "nf4_quantize g64", "fp8_quantize row")
    for name in (*conversions, "nf4_dequantize g64 double"):
        assert len(results.conversions(name)) == 1, name
    for name in ("int4_dequantize g128", "int8_dequantize row", "nf4_dequantize g64"):
        assert len(results.conversions(name)) == len(measure.DRY_RUN_SHAPES), name
    # What cannot run here is said, once.
    for name in (*OURS_OF_CUSPARSELT, "torch _scaled_mm row", "torch semi-structured bfloat16"):
        assert results.notes.count(f"{name}: for CUDA only") == 1
    # Nobody takes it for a device's.
    for text in (done.stdout, (tmp_path / "cuda.txt").read_text()):
        assert text.count("DRY RUN") >= 2
        assert all(name in text for name in OURS)
    assert len(report.summary(results)) < KEPT_CHARACTERS


def test_steps_without_time_are_skipped_and_said(tmp_path):
    least = sum(check.LEAST[name] for name in ("environment", "build"))
    done = dry_run(f"--out={tmp_path}", f"--seconds={least + 10}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {s["name"]: s for s in Results.load(tmp_path / "cuda.json").steps}
    for name in ("C++ tests", "Python tests", "sanitizer", "benchmark"):
        assert (found[name]["status"], found[name]["notes"]) == ("skipped", ["no time left"])
        assert f"SKIPPED  {name}" in done.stdout


def test_a_missing_build_is_a_failure_and_the_report_comes_all_the_same(tmp_path):
    before = results_files()
    done = dry_run(f"--build={tmp_path / 'nothing'}")
    assert done.returncode == 1
    assert "FAILED   build" in done.stdout
    assert "nothing was kept" in done.stdout and results_files() == before


# ---- the time ----


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_earlier_steps_leave_later_ones_their_least():
    clock = Clock()
    budget = Budget(100, {"a": 5, "b": 10, "c": 30}, clock)
    assert budget.allot("a", 1000) == 60
    clock.now += 50
    assert budget.allot("b", 1000) == 20
    clock.now += 20
    assert budget.allot("c", 1000) == 30
    assert budget.allot("c", 12) == 0  # not worth beginning


def test_what_cannot_have_its_least_is_not_begun():
    clock = Clock()
    budget = Budget(20, {"a": 5, "b": 10, "c": 30}, clock)
    assert budget.allot("a", 100) == 5  # the later ones come short, not this one
    clock.now += 5
    assert budget.allot("b", 100) == 10
    clock.now += 10
    assert budget.allot("c", 100) == 0


def test_a_process_that_takes_too_long_ends_with_what_it_started(tmp_path):
    script = "import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    finished = process.run([sys.executable, "-c", script], 1.0, tmp_path / "log")
    assert finished.timed_out and finished.seconds < 10
    assert "begun" in finished.output


def test_a_program_that_is_not_there_is_said(tmp_path):
    finished = process.run([str(tmp_path / "nothing")], 5, tmp_path / "log")
    assert finished.exit_code == 127 and "could not be started" in finished.output


# ---- the build ----


def carried_folder(folder: Path, sources: str) -> Path:
    files = [folder.with_name(name) for name in (build.LIBRARY, "test_int4_mm_cuda_device")]
    for file in files:
        file.write_text("")
        file.chmod(0o755)
    build.pack(folder, files, {"commit": "abc", "sources": sources, "architectures": "90a-real"})
    return folder


def test_a_carried_build_of_these_sources_is_taken(tmp_path):
    found = build.carried(carried_folder(tmp_path / "carried", build.sources_hash()))
    assert [program.name for program in found.programs] == ["test_int4_mm_cuda_device"]
    assert os.access(found.programs[0], os.X_OK) and found.library.is_file()


def test_what_programs_have_in_common_is_carried_once(tmp_path):
    common = os.urandom(1 << 20)
    files = [tmp_path / f"test_{i}_cuda_device" for i in range(8)]
    for i, file in enumerate(files):
        file.write_bytes(bytes(i) + common)  # at another address in each
    build.pack(tmp_path / "carried", files, {})
    assert (tmp_path / "carried" / build.ARCHIVE).stat().st_size < 1.1 * len(common)


def test_a_carried_build_of_other_sources_is_not(tmp_path):
    with pytest.raises(RuntimeError, match="other sources"):
        build.carried(carried_folder(tmp_path / "carried", "0123456789abcdef"))
    with pytest.raises(RuntimeError, match="has no manifest"):
        build.carried(tmp_path)


FAKE_CMAKE = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *BUILD_TESTS=ON*) [ -n "$WITHOUT_GTEST" ] && echo "Could NOT find GTest" && exit 1 ;;
  *"--target help"*) echo "test_int4_mm_cuda_device: phony"; echo "tests/cpp/test_int4_mm_cuda_device: phony" ;;
  --build*) mkdir -p {folder}/tests/cpp; : > {folder}/tests/cpp/test_int4_mm_cuda_device; chmod +x {folder}/tests/cpp/test_int4_mm_cuda_device ;;
esac
exit 0
"""


@pytest.mark.parametrize("without_gtest", [False, True])
def test_building_where_there_is_no_googletest_leaves_the_library(tmp_path, monkeypatch, without_gtest):
    (tmp_path / "bin").mkdir()
    cmake = tmp_path / "bin" / "cmake"
    cmake.write_text(FAKE_CMAKE.format(log=tmp_path / "calls", folder=tmp_path / "build"))
    cmake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    if without_gtest:
        monkeypatch.setenv("WITHOUT_GTEST", "1")
        monkeypatch.setattr(
            build, "PROGRAM_PATTERN", "test_*_cuda_nothing"
        )  # the stand-in makes its program all the same
    found = build.make(tmp_path / "build", "90a-real", tmp_path / "log", 60, 2)
    calls = (tmp_path / "calls").read_text()
    assert "-DTORCHAO_OPS_CUDA_ARCHITECTURES=90a-real" in calls
    if without_gtest:
        assert "-DTORCHAO_OPS_BUILD_TESTS=OFF" in calls and found.programs == []
        assert calls.rstrip().endswith("--target torchao_ops")
    else:
        assert calls.rstrip().endswith("--target torchao_ops test_int4_mm_cuda_device")
        assert [program.name for program in found.programs] == ["test_int4_mm_cuda_device"]


# ---- the tests that it runs ----


def fake_run(tmp_path: Path, program_text: str) -> steps.Run:
    program = tmp_path / "test_fake_cuda_device"
    program.write_text("#!/bin/sh\n" + program_text)
    program.chmod(0o755)
    run = steps.Run(tmp_path / "out", dry_run=True, quick=False)
    run.out.mkdir()
    run.build = build.Build(tmp_path / build.LIBRARY, [program], "fake", "abc")
    return run


@pytest.mark.parametrize(
    "program, said",
    [
        ("echo '[  FAILED  ] A.B/int4_mm, where GetParam() = int4_mm (12 ms)'; exit 1", "A.B/int4_mm failed"),
        ("echo 'CRASH (memory outside its buffers) in int4_mm'; exit 2", "exit code 2: .*CRASH"),
        ("kill -SEGV $$", "exit code -11"),
        ("echo '[ RUN      ] A.Hangs'; exec sleep 60", "not done after .* last in A.Hangs"),
        ("echo 'PROGRAM SKIPPED: no CUDA device'; exit 77", "sees no CUDA device"),
        ("echo '  cuda_k (cuda on a device): 0 cases'", "cuda_k: no case ran"),
        ("exit 0", "no kernel ran"),
    ],
)
def test_what_is_wrong_with_a_test_program_is_a_failure(tmp_path, program, said):
    outcome = steps.cpp_tests(fake_run(tmp_path, program), 4)
    assert outcome.status == "failed"
    assert any(re.search(said, note) for note in outcome.notes), outcome.notes


def test_shards_add_up(tmp_path):
    text = "echo '[       OK ] A.B (1 ms)'; echo \"  cuda_k (cuda on a device): $GTEST_SHARD_INDEX cases\""
    outcome = steps.cpp_tests(fake_run(tmp_path, text), 20)
    assert outcome.status == "passed"
    assert outcome.data["cases"] == {"cuda_k": sum(range(steps.SHARDS))}


@pytest.mark.parametrize(
    "output, exit_code, failures, notes",
    [
        ("========= ERROR SUMMARY: 0 errors", 0, 0, 0),
        ("=========     at torchao_ops::cuda::k+0x10 in k.cu:3\n========= ERROR SUMMARY: 2 errors", 99, 1, 0),
        (
            "=========     at void torchao_ops::cuda::k(int)+0x10\n========= RACECHECK SUMMARY: 1 hazard displayed",
            99,
            1,
            0,
        ),
        ("=========     at sm90_gemm+0x10\n========= ERROR SUMMARY: 1 error", 99, 0, 1),
        ("========= ERROR SUMMARY: 3 errors", 99, 1, 0),
        ("[  FAILED  ] A.B (3 ms)\n========= ERROR SUMMARY: 0 errors", 1, 1, 0),
        ("========= Error: Device not supported", 1, 0, 1),
        ("", None, 0, 1),
        ("[==========] Running 0 tests from 0 test suites.\n========= ERROR SUMMARY: 0 errors", 0, 1, 0),
    ],
)
def test_what_compute_sanitizer_says(output, exit_code, failures, notes):
    got = steps.sanitizer_reports("memcheck.x", process.Finished(exit_code, 1.0, output))
    assert (len(got[0]), len(got[1])) == (failures, notes)


@pytest.mark.parametrize(
    "program", sorted((BUILD / "tests" / "cpp").glob("test_*_cuda_host_release")), ids=lambda path: path.name
)
def test_compute_sanitizer_has_a_test_of_every_program(program):
    listed = subprocess.run(
        [program, "--gtest_list_tests", f"--gtest_filter={steps.SANITIZER_FILTER}"], capture_output=True, text=True
    )
    assert listed.stdout.strip()


# ---- the benchmark ----


def test_what_began_and_never_ended_is_left_out_by_the_next_process(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.write("begin", "ceilings")
    journal.write("ceilings", {"read_bytes_per_second": 1.0})
    journal.write("end", "ceilings")
    journal.write("begin", "8x8 M=1 a")
    with (tmp_path / "journal").open("a") as file:
        file.write('{"kind": "row", "val')  # cut off
    again = Journal(tmp_path / "journal")
    assert again.unfinished() == ["8x8 M=1 a"] and again.crashed == []
    again.write("crashed", "8x8 M=1 a")
    again.write("begin", "8x8 M=1 b")
    third = Journal(tmp_path / "journal")
    assert third.unfinished() == ["8x8 M=1 b"] and third.crashed == ["8x8 M=1 a"]
    assert again.ceilings == {"read_bytes_per_second": 1.0} and again.rows == []


CRASHING_MEASURE = """
import os, sys
sys.path.insert(0, {bench!r})
from gpu import measure, peers
bind = peers.Ours.bind
def crash(self, copy, x):
    if self.name == "int4_mm g128" and tuple(x.shape) == (16, 384):
        os._exit(134)
    return bind(self, copy, x)
peers.Ours.bind = crash
sys.exit(measure.main())
"""


def test_a_crash_costs_one_figure_and_fails_the_run(tmp_path, monkeypatch):
    run = steps.Run(tmp_path, dry_run=True, quick=True)
    run.build = build.Build(BUILD / build.LIBRARY, [], "the host's", "abc")
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING_MEASURE.format(bench=str(ROOT / "bench")))
    run_process = process.run
    monkeypatch.setattr(
        process,
        "run",
        lambda command, *rest: run_process([command[0], str(script), *command[3:]], *rest),
    )
    results = Results({}, "abc", True)
    outcome = check.benchmark(run, 120, results)
    assert outcome.status == "failed"
    crashed = [row for row in results.rows if row["problem"] == "crashed the process"]
    assert {(row["candidate"], row["batch"]) for row in crashed} == {("int4_mm g128", 16)}
    assert len(crashed) == 1
    assert len(results.rows_of("int4_mm g128", 1)) == len(measure.DRY_RUN_SHAPES)
    assert len(results.rows_of("F.linear bfloat16", 16)) == len(measure.DRY_RUN_SHAPES)


def test_a_wrong_result_is_not_timed(monkeypatch, tmp_path):
    import torch

    torch.ops.load_library(BUILD / build.LIBRARY)
    for ours in (measure.peers.Ours, measure.peers.OursScaledFp8):
        bind = ours.bind
        monkeypatch.setattr(ours, "bind", lambda self, copy, x, bind=bind: lambda: 1.1 * bind(self, copy, x)())
    journal = Journal(tmp_path / "journal")
    measure.Measurement(journal, measure.timer_for("cpu"), "cpu", 2, float("inf")).run([(64, 128)], [1])
    ours = [row for row in journal.rows if row["ours"] and row["batch"] and "F.linear" not in row["candidate"]]
    assert ours and all(row["problem"].startswith("wrong") and row["seconds"] is None for row in ours)


def full_size() -> Results:
    """As many rows, steps and notes as a run can have."""
    rows = []
    for shape in measure.SHAPES:
        rows += [
            asdict(measure.Row(*shape, 0, name, True, "", 1, None, 1e-4))
            for name in (
                *(f"{family}_quantize g128" for family in ("int4", "int8", "nf4", "fp8")),
                goals.NF4_DEQUANTIZE,
            )
        ]
        for batch in measure.BATCHES:
            rivals = dict.fromkeys(rival for rivals in report.RIVALS.values() for rival in rivals)
            for name in (*report.RIVALS, *rivals, "dequantize, F.linear g128"):
                rows.append(
                    asdict(
                        measure.Row(
                            *shape, batch, name, name in report.RIVALS, "exact", 1 << 25, 1e-3, 1e-4, 1e-4, 2e-4
                        )
                    )
                )
    ceilings = dict.fromkeys(
        (
            "copy_bytes_per_second",
            "read_bytes_per_second",
            "bf16_flops",
            "fp16_flops",
            "int8_ops",
            "fp8_flops",
            "launch_seconds",
        ),
        1e12,
    )
    failed = [{"name": n, "status": "failed", "seconds": 99.0, "notes": ["x" * 300] * 20} for n in check.LEAST]
    device = {"name": "NVIDIA H100 80GB HBM3", "driver": "580.95.05", "torch": "2.11.0+cu130"}
    return Results(device, "0123456789ab", False, failed, ceilings, rows, [], ["left out " * 30] * 30)


def test_the_summary_fits_what_is_kept_of_it():
    text = report.summary(full_size())
    assert len(text) < KEPT_CHARACTERS
    assert text.splitlines()[-1].startswith("FAILED   benchmark")


def test_the_report_has_every_figure_and_survives_gaps():
    results = full_size()
    results.rows[5]["seconds"] = None
    results.rows[5]["problem"] = "wrong: error 1.0e+00"
    text = report.full(results)
    assert all(f"N={n} K={k}" in text for n, k in measure.SHAPES)
    assert "! int4_mm g128: wrong: error 1.0e+00" in text or "wrong: error 1.0e+00" in text
    results.ceilings, results.rows = None, []
    assert "FAILED" in report.full(results) and "FAILED" in report.summary(results)
