"""Benchmarks our operators on the CPU, format by format, against their peers and the machine's limits.

    .venv/bin/python bench/bench.py                   everything, about a quarter of an hour for each format
    .venv/bin/python bench/bench.py --quick           two shapes, five batch sizes, two or three minutes for each
    .venv/bin/python bench/bench.py --formats int8
    .venv/bin/python bench/bench.py --markdown bench/results/MACHINE/int4_cpu.json

The peers' packages are in bench/requirements.txt; GGML_DIR=/path/to/ggml adds ggml. bench/README.md says how it measures.
"""

# ruff: noqa: E402 (limit_spinning comes before torch)
from __future__ import annotations

import timing

timing.limit_spinning()  # before torch loads OpenMP

import argparse
import dataclasses
import importlib.util
import sys
import time
from pathlib import Path

import command_line
import machine
import markdown
import report
import results
from contest import Contest, Row, Settings, construct
from formats import FORMATS, Format
from limits import Limits

# (out_features, in_features): a 7B model's projections, and those of all-MiniLM-L6-v2.
SHAPES = [(4096, 4096), (11008, 4096), (4096, 11008), (14336, 4096), (384, 384), (1536, 384), (384, 1536)]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
QUICK_SHAPES = [(4096, 4096), (384, 384)]
QUICK_BATCHES = [1, 4, 16, 64, 256]


def parse_arguments() -> argparse.Namespace:
    comma_separated = command_line.comma_separated
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--formats", type=comma_separated(str), default=list(FORMATS), help=f"of {','.join(FORMATS)}; default all"
    )
    parser.add_argument("--quick", action="store_true", help="fewer shapes, batch sizes and repetitions")
    parser.add_argument(
        "--shapes", type=comma_separated(command_line.shape), help="NxK,... (out_features x in_features)"
    )
    parser.add_argument("--m", type=comma_separated(int), help="batch sizes")
    parser.add_argument("--threads", type=comma_separated(int), help="thread counts; default 1 and, if there are, 2")
    parser.add_argument("--weights", type=comma_separated(str), default=["cold", "warm"], help="cold,warm")
    parser.add_argument(
        "--groups", type=comma_separated(int), help="group sizes, 0 for a row, where the default is not the format's"
    )
    parser.add_argument("--only", type=comma_separated(str), help="candidates whose name contains one of these")
    parser.add_argument(
        "--out", type=Path, help="the folder for FORMAT_cpu.json and .png; default bench/results/MACHINE"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="JSON", help="print the tables of earlier results; measure nothing"
    )
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.formats if name not in FORMATS]:
        parser.error(f"--formats must be of {', '.join(FORMATS)}, but got {', '.join(unknown)}")
    return arguments


def measure(form: Format, arguments: argparse.Namespace, where: dict) -> results.Results:
    """Runs a format's candidates, showing each case as it is done."""
    threads = arguments.threads or [count for count in (1, 2) if count <= where["cores"]]
    settings = Settings(
        shapes=arguments.shapes or (QUICK_SHAPES if arguments.quick else SHAPES),
        batches=arguments.m or (QUICK_BATCHES if arguments.quick else BATCHES),
        threads=threads,
        temperatures=arguments.weights,
        rounds=3 if arguments.quick else 5,
        budget_seconds=0.1 if arguments.quick else 0.15,
    )
    constructors = form.candidates(arguments.groups or form.group_sizes, command_line.DTYPES[arguments.dtype])
    if arguments.only:
        constructors = {name: c for name, c in constructors.items() if any(part in name for part in arguments.only)}
    candidates, absent = construct(constructors)
    for name, reason in absent.items():
        print(f"absent: {name}: {reason}")
    limits = {count: Limits(count, where["last_level_cache_bytes"]) for count in threads}

    def show(case: list[Row]) -> None:
        print("\n" + report.case_table(case, limits[case[0].threads], form), flush=True)

    rows = Contest(settings, candidates, limits).run(show)
    return results.Results(
        format=form,
        machine=where,
        commit=machine.commit(),
        settings=dataclasses.asdict(settings),
        versions={candidate.name: candidate.version for candidate in candidates},
        absent=absent,
        limits=limits,
        rows=rows,
    )


def keep(run: results.Results, folder: Path) -> str:
    """Writes the results and, where matplotlib is installed, their plot; says what it wrote."""
    path = folder / f"{run.format.name}_cpu.json"
    results.save(run, path)
    if importlib.util.find_spec("matplotlib") is None:
        return f"wrote {path}; no plot, for matplotlib is not installed"
    import plot

    plot.draw(run, path.with_suffix(".png"))
    return f"wrote {path} and {path.with_suffix('.png').name}"


def warnings(run: results.Results) -> list[str]:
    found = []
    beyond = [r for r in run.rows if r.seconds and report.fraction_of_limit(r, run.limits[r.threads]) > 1.1]
    if beyond:
        found.append(
            f"{len(beyond)} measurements are beyond the limits: something disturbed the limits' own measurement"
        )
    noisy = sum(row.other_load > report.QUIET_LOAD for row in run.rows)
    if noisy:
        found.append(
            f"other processes were busy during {noisy} of {len(run.rows)} measurements: these are not for publication"
        )
    return found


def main() -> int:
    arguments = parse_arguments()
    if arguments.markdown:
        print(markdown.tables(results.load(arguments.markdown)))
        return 0

    where = machine.describe()
    folder = arguments.out or machine.ROOT / "bench" / "results" / machine.folder_name(where)
    print(f"{where['cpu']} ({where['microarchitecture']}), {where['cores']} cores, torch {where['torch']}")
    wrong = []
    for name in arguments.formats:
        print(f"\n==== {name}")
        begin = time.monotonic()
        run = measure(FORMATS[name], arguments, where)
        print("\n" + report.limits_lines(run.limits))
        print(*warnings(run), f"{time.monotonic() - begin:.0f} s; {keep(run, folder)}", sep="\n", flush=True)
        wrong += sorted({row.candidate for row in run.rows if row.problem and run.format.operator_of(row.candidate)})
    if wrong:
        print(f"ours failed: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
