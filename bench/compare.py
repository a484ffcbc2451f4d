"""Times our operators for a format against the dense product in a few seconds, for tuning a kernel.

    .venv/bin/python bench/compare.py --format int4 --shape 4096x4096 --m 1,4,16,64 --group 128 --threads 1
    .venv/bin/python bench/compare.py --m 1 --weights warm --against "ONNX Runtime level 4"

A line per batch size and operator: time, GB/s of weights, GFLOP/s, part of the machine's limit, and how many times longer
each rival takes. Figures to publish come from bench.py.
"""

# ruff: noqa: E402 (limit_spinning comes before torch)
from __future__ import annotations

import timing

timing.limit_spinning()  # before torch loads OpenMP

import machine
import report
from command_line import DTYPES, comma_separated, parser, shape
from contest import Contest, Row, Settings, construct
from formats import FORMATS
from limits import Limits


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--format", choices=FORMATS, default=next(iter(FORMATS)))
    options.add_argument("--shape", type=shape, default=(4096, 4096), help="NxK (out_features x in_features)")
    options.add_argument("--m", type=comma_separated(int), default=[1, 4, 16, 64], help="batch sizes")
    options.add_argument("--group", type=int, help="group size, 0 for a row; default the format's usual one")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--weights", choices=("cold", "warm"), default="cold")
    options.add_argument(
        "--clock",
        choices=timing.CLOCKS,
        default="wall",
        help="cpu: with one thread, on a machine that others use as well",
    )
    options.add_argument("--operators", type=comma_separated(str), help="default all of the format")
    options.add_argument(
        "--against", type=comma_separated(str), default=["F.linear float32"], help="parts of candidates' names"
    )
    arguments = options.parse_args()
    if arguments.clock == "cpu" and arguments.threads != 1:
        options.error("--clock cpu adds up the threads' time, so it needs --threads 1")

    form = FORMATS[arguments.format]
    group_size = form.usual_group_size if arguments.group is None else arguments.group
    operators = arguments.operators or [operator.name for operator in form.operators]
    constructors = form.candidates([group_size], DTYPES[arguments.dtype])
    ours = [name for name in constructors if (operator := form.operator_of(name)) and operator.name in operators]
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

    if not Contest(settings, candidates, {arguments.threads: limits}).run(show):
        print("a weight of this size stays in the cache: --weights warm")
    print(report.limits_lines({arguments.threads: limits}))


if __name__ == "__main__":
    main()
