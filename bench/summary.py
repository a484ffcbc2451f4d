"""The README's table and plot: our operators of every format beside dense products, at one shape.

    .venv/bin/python bench/summary.py                 of this machine's results
    .venv/bin/python bench/summary.py FOLDER          of others

Prints the table and writes summary_cpu.png into the folder. An operator is compared with the dense products of its own run.
"""

# ruff: noqa: E402 (the backend is chosen before pyplot is imported)
from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import machine
import report
import results
from contest import Row
from formats import FORMATS
from matplotlib import pyplot
from results import Results

SHAPE = (4096, 4096)
THREADS = 1
BATCHES = (1, 4, 16, 64, 256)
#: Of each format the usual ones, and the short name that `quantize_` or `sparsify_` has for a layer that uses it.
OPERATORS = {
    "int4_mm g128": "int4wo-128",
    "int4_dynamic_mm g128": "8da4w-128",
    "int8_mm row": "int8wo",
    "int8_dynamic_mm row": "int8dq",
    "nf4_mm g64": "nf4-64",
    "fp8_mm row": "float8wo",
    "fp8_dynamic_mm row": "float8dq",
    "sparse24_mm bfloat16": "sparse24",
    "sparse24_dynamic_mm int8": "int8dq_sparse24",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    folder = parser.parse_args().folder
    if folder is None:
        folder = machine.ROOT / "bench" / "results" / machine.folder_name(machine.describe())
    runs = [results.load(folder / f"{name}_cpu.json") for name in FORMATS]
    print(table(runs))
    draw(runs, folder / "summary_cpu.png")


def table(runs: list[Results]) -> str:
    """Markdown: microseconds, and how many times as fast that is as the fastest dense product."""
    lines = [
        "| operator | short name | bits a weight | " + " | ".join(f"M={batch}" for batch in BATCHES) + " | error |",
        "| --- | --- | --- | " + "--- | " * len(BATCHES) + "--- |",
    ]
    for candidate, rows in _cases(runs):
        cells = [f"{row.seconds * 1e6:,.0f} ({_speedup(run, row):.1f}x)" for run, row in rows]
        _, row = rows[-1]
        bits = 8 * row.weight_bytes / (SHAPE[0] * SHAPE[1])
        lines.append(
            f"| {candidate} | `{OPERATORS[candidate]}` | {bits:.1f} | " + " | ".join(cells) + f" | {row.error:.1e} |"
        )
    return "\n".join(lines)


def draw(runs: list[Results], path: Path) -> None:
    figure, panel = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for candidate, rows in _cases(runs):
        dynamic = "dynamic" in candidate
        panel.plot(
            BATCHES,
            [_speedup(run, row) for run, row in rows],
            label=candidate,
            marker="s" if dynamic else "o",
            linestyle="--" if dynamic else "-",
        )
    panel.axhline(1, color="black", linewidth=1)
    panel.set(
        xscale="log",
        xlabel="M, rows of x",
        ylabel="times as fast as the fastest dense product",
        ylim=(0, None),
        title=f"N={SHAPE[0]}, K={SHAPE[1]}, bf16 activations, {report.threads_text(THREADS)}, weights read from memory: {runs[0].machine['microarchitecture']}",
    )
    panel.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
    panel.minorticks_off()
    panel.legend(frameon=False)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _cases(runs: list[Results]) -> list[tuple[str, list[tuple[Results, Row]]]]:
    """By operator, its run and row at each batch size."""
    return [(candidate, [_find(runs, candidate, batch) for batch in BATCHES]) for candidate in OPERATORS]


def _find(runs: list[Results], candidate: str, batch: int) -> tuple[Results, Row]:
    wanted = (candidate, batch, SHAPE, THREADS, "cold")
    for run in runs:
        for row in run.rows:
            shape = (row.out_features, row.in_features)
            if (row.candidate, row.batch, shape, row.threads, row.weights) == wanted:
                return run, row
    raise SystemExit(f"the results must have {candidate} at M={batch}, but they do not")


def _speedup(run: Results, row: Row) -> float:
    dense = [other.seconds for other in run.case_of(row) if other.candidate.startswith(report.DENSE) and other.seconds]
    return min(dense) / row.seconds


if __name__ == "__main__":
    main()
