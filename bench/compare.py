"""Times our int4 operators against the dense product in a few seconds, for tuning a kernel.

    .venv/bin/python bench/compare.py --shape 4096x4096 --m 1,4,16,64 --group 128 --threads 1
    .venv/bin/python bench/compare.py --m 1 --weights warm --against "ONNX Runtime level 4"

A line per batch size and operator: time, GB/s of weights, GFLOP/s, part of the machine's limit, and how many times longer
each rival takes. Figures to publish come from bench_int4.py.
"""

# ruff: noqa: E402 (limit_spinning comes before torch)
from __future__ import annotations

import timing

timing.limit_spinning()  # before torch loads OpenMP

import argparse

import machine
import report
from bench_int4 import DTYPES, comma_separated, shape
from contest import Contest, Row, Settings, construct
from limits import Limits
from peers import int4_candidates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=shape, default=(4096, 4096), help="NxK (out_features x in_features)")
    parser.add_argument("--m", type=comma_separated(int), default=[1, 4, 16, 64], help="batch sizes")
    parser.add_argument("--group", type=int, default=128, help="group size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", choices=("cold", "warm"), default="cold")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="of x")
    parser.add_argument(
        "--clock",
        choices=timing.CLOCKS,
        default="wall",
        help="cpu: with one thread, on a machine that others use as well",
    )
    parser.add_argument("--operators", type=comma_separated(str), default=["int4_mm", "int4_dynamic_mm"])
    parser.add_argument(
        "--against", type=comma_separated(str), default=["F.linear float32"], help="parts of candidates' names"
    )
    arguments = parser.parse_args()
    if arguments.clock == "cpu" and arguments.threads != 1:
        parser.error("--clock cpu adds up the threads' time, so it needs --threads 1")

    constructors = int4_candidates([arguments.group], DTYPES[arguments.dtype])
    ours = [f"{operator} g{arguments.group}" for operator in arguments.operators]
    wanted = {n: c for n, c in constructors.items() if n in ours or any(part in n for part in arguments.against)}
    candidates, absent = construct(wanted)
    for name, reason in absent.items():
        print(f"absent: {name}: {reason}")
    limits = Limits(arguments.threads, machine.last_level_cache_bytes())
    settings = Settings(
        shapes=[arguments.shape],
        batches=arguments.m,
        threads=[arguments.threads],
        temperatures=[arguments.weights],
        rounds=5,
        budget_seconds=0.1,
        clock=arguments.clock,
    )

    def show(case: list[Row]) -> None:
        rivals = [row for row in case if row.candidate not in ours]
        for row in case:
            if row.candidate not in ours:
                continue
            if row.seconds is None:
                print(f"M={row.batch:<4} {row.candidate:22} {row.problem}", flush=True)
                continue
            ratios = ", ".join(
                f"{rival.candidate} {rival.seconds / row.seconds:.2f}x"
                if rival.seconds
                else f"{rival.candidate}: {rival.problem}"
                for rival in rivals
            )
            print(
                f"M={row.batch:<4} {row.candidate:22}{row.seconds * 1e6:10.1f} us{row.weight_bytes / row.seconds * 1e-9:7.1f} GB/s"
                f"{report.operations(row) / row.seconds * 1e-9:8.1f} GFLOP/s{report.fraction_of_limit(row, limits):6.0%} of limit"
                f"  error {row.error:.1e}  {ratios}",
                flush=True,
            )

    Contest(settings, candidates, {arguments.threads: limits}).run(show)
    print(report.limits_lines({arguments.threads: limits}))


if __name__ == "__main__":
    main()
