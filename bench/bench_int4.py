"""Benchmarks torchao::int4_mm and torchao::int4_dynamic_mm on the CPU against their peers and the machine's limits.

    .venv/bin/python bench/bench_int4.py              everything, about a quarter of an hour
    .venv/bin/python bench/bench_int4.py --quick      two shapes, five batch sizes, two or three minutes
    .venv/bin/python bench/bench_int4.py --markdown bench/results/MACHINE/int4_cpu.json

The peers' packages are in bench/requirements.txt; GGML_DIR=/path/to/ggml adds ggml. bench/README.md says how it measures.
"""

# ruff: noqa: E402 (limit_spinning comes before torch)
from __future__ import annotations

import timing

timing.limit_spinning()  # before torch loads OpenMP

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import machine
import markdown
import plot
import report
import results
import torch
from contest import Contest, Row, Settings, construct
from limits import Limits
from peers import int4_candidates

# (out_features, in_features): a 7B model's projections, and those of all-MiniLM-L6-v2.
SHAPES = [(4096, 4096), (11008, 4096), (4096, 11008), (14336, 4096), (384, 384), (1536, 384), (384, 1536)]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
QUICK_SHAPES = [(4096, 4096), (384, 384)]
QUICK_BATCHES = [1, 4, 16, 64, 256]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def shape(text: str) -> tuple[int, int]:
    out_features, in_features = text.split("x")
    return int(out_features), int(in_features)


def comma_separated(kind):
    def parse(text: str) -> list:
        return [kind(item) for item in text.split(",")]

    return parse


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer shapes, batch sizes and repetitions")
    parser.add_argument("--shapes", type=comma_separated(shape), help="NxK,... (out_features x in_features)")
    parser.add_argument("--m", type=comma_separated(int), help="batch sizes")
    parser.add_argument("--threads", type=comma_separated(int), help="thread counts; default 1 and, if there are, 2")
    parser.add_argument("--weights", type=comma_separated(str), default=["cold", "warm"], help="cold,warm")
    parser.add_argument("--groups", type=comma_separated(int), default=[32, 128], help="group sizes")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of x, for the candidates that have a choice")
    parser.add_argument("--only", type=comma_separated(str), help="candidates whose name contains one of these")
    parser.add_argument(
        "--json", type=Path, help="where to write the results; a plot of the same name goes beside them"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="JSON", help="print README tables of earlier results; measure nothing"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    if arguments.markdown:
        print(markdown.tables(results.load(arguments.markdown)))
        return 0

    where = machine.describe()
    threads = arguments.threads or [count for count in (1, 2) if count <= where["cores"]]
    settings = Settings(
        shapes=arguments.shapes or (QUICK_SHAPES if arguments.quick else SHAPES),
        batches=arguments.m or (QUICK_BATCHES if arguments.quick else BATCHES),
        threads=threads,
        temperatures=arguments.weights,
        rounds=3 if arguments.quick else 5,
        budget_seconds=0.1 if arguments.quick else 0.15,
    )
    constructors = int4_candidates(arguments.groups, DTYPES[arguments.dtype])
    if arguments.only:
        constructors = {name: c for name, c in constructors.items() if any(part in name for part in arguments.only)}
    candidates, absent = construct(constructors)
    print(f"{where['cpu']} ({where['microarchitecture']}), {where['cores']} cores, torch {where['torch']}")
    for name, reason in absent.items():
        print(f"absent: {name}: {reason}")

    begin = time.monotonic()
    limits = {count: Limits(count, where["last_level_cache_bytes"]) for count in threads}

    def show(case: list[Row]) -> None:
        print("\n" + report.case_table(case, limits[case[0].threads]), flush=True)

    rows = Contest(settings, candidates, limits).run(show)
    run = results.Results(
        machine=where,
        commit=machine.commit(),
        settings=dataclasses.asdict(settings),
        versions={candidate.name: candidate.version for candidate in candidates},
        absent=absent,
        limits=limits,
        rows=rows,
    )
    print("\n" + report.limits_lines(limits))
    path = arguments.json or machine.ROOT / "bench" / "results" / machine.folder_name(where) / "int4_cpu.json"
    results.save(run, path)
    plot.draw(run, path.with_suffix(".png"))
    beyond = [row for row in rows if row.seconds and report.fraction_of_limit(row, limits[row.threads]) > 1.1]
    if beyond:
        print(f"{len(beyond)} measurements are beyond the limits: something disturbed the limits' own measurement")
    noisy = sum(row.other_load > report.QUIET_LOAD for row in rows)
    if noisy:
        print(f"other processes were busy during {noisy} of {len(rows)} measurements: these are not for publication")
    print(f"{time.monotonic() - begin:.0f} s; wrote {path} and {path.with_suffix('.png').name}")
    wrong = sorted({row.candidate for row in rows if row.problem and row.candidate.startswith("int4_")})
    if wrong:
        print(f"ours failed: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
