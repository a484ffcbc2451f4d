"""Draws a benchmark run: speed over batch size, one panel per shape, with the machine's limits as roofs."""

# ruff: noqa: E402 (the backend is chosen before pyplot is imported)
from __future__ import annotations

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import report
from formats import Format
from matplotlib import pyplot
from results import Results

MAX_COLUMNS = 4
#: Ours in strong colours, by the activations; peers muted, by the beginning of their names.
OURS = {
    "exact": dict(color="#d62728", linewidth=2.6, marker="o", zorder=3),
    "int8": dict(color="#1f77b4", linewidth=2.6, marker="o", zorder=3),
    "float8": dict(color="#1f77b4", linewidth=2.6, marker="o", zorder=3),
}
PEERS = {
    "F.linear bfloat16": dict(color="black", linestyle="--", marker="."),
    "F.linear float32": dict(color="#777777", linestyle="--", marker="."),
    "torch int": dict(color="#e8a33d", marker="s"),
    "torch _scaled_mm": dict(color="#9edae5", marker="s"),
    "torch _int_mm": dict(color="#9edae5", marker="s"),
    "fbgemm": dict(color="#17becf", marker="X"),
    "oneDNN": dict(color="#7f6fd0", marker="X"),
    "bitsandbytes": dict(color="#8c564b", marker="v"),
    "ONNX Runtime level 0": dict(color="#f5a3a3", marker="^"),
    "ONNX Runtime level 4": dict(color="#8ecbf0", marker="^"),
    "OpenVINO exact": dict(color="#c39bd3", marker="D"),
    "OpenVINO dynamic": dict(color="#6fa8dc", marker="D"),
    "ggml Q": dict(color="#2ca02c", marker="P"),
    "ggml BF16": dict(color="#999999", linestyle=":", marker="."),
}


def style(form: Format, candidate: str) -> dict:
    operator = form.operator_of(candidate)
    chosen = OURS[operator.activations] if operator else next(s for n, s in PEERS.items() if candidate.startswith(n))
    return {"markersize": 5, "linewidth": 1.4} | chosen


def draw(results: Results, path: Path) -> None:
    """Writes a PNG with a panel for each thread count and shape; weights cold where they were measured so."""
    shapes = list(dict.fromkeys((row.out_features, row.in_features) for row in results.rows))
    threads = sorted(results.limits)
    columns = min(MAX_COLUMNS, len(shapes))
    rows = len(threads) * math.ceil(len(shapes) / columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(4.6 * columns, 4.2 * rows + 1.4), squeeze=False, layout="constrained"
    )
    for panel in panels.flat:
        panel.set_visible(False)
    for i, count in enumerate(threads):
        block = panels[i * rows // len(threads) : (i + 1) * rows // len(threads)].flat  # each thread count begins a row
        for panel, shape in zip(block, shapes, strict=False):
            panel.set_visible(True)
            _panel(panel, results, shape, count)
    for line in panels:
        line[0].set_ylabel("GFLOP/s (higher is better)")
    handles = {
        label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=max(1, 2 * columns - 1), frameon=False
    )
    where = results.machine
    figure.suptitle(
        f"{results.format.kind} weights on {where['cpu']} ({where['microarchitecture']}), torch {where['torch']}, commit {results.commit}\n"
        "thin lines: what the machine's memory and arithmetic allow for the operator of that colour"
    )
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _panel(panel, results: Results, shape: tuple[int, int], threads: int) -> None:
    rows = [r for r in results.rows if (r.out_features, r.in_features) == shape and r.threads == threads and r.seconds]
    temperature = "cold" if any(row.weights == "cold" for row in rows) else "warm"
    rows = [row for row in rows if row.weights == temperature]
    for name in results.format.plotted:
        line = sorted((row for row in rows if row.candidate == name), key=lambda row: row.batch)
        if not line:
            continue
        look = style(results.format, name)
        panel.plot(
            [row.batch for row in line],
            [report.operations(row) / row.seconds * 1e-9 for row in line],
            label=name,
            **look,
        )
        if results.format.operator_of(name):
            _roof(panel, line, results.limits[threads], look["color"])
    panel.set(
        xlabel="batch size M",
        xscale="log",
        yscale="log",
        title=f"N={shape[0]}, K={shape[1]}, {report.threads_text(threads)}, weights {temperature}",
    )
    batches = sorted({row.batch for row in rows})
    panel.set_xticks(batches, [str(batch) for batch in batches])
    panel.minorticks_off()
    panel.grid(alpha=0.25)


def _roof(panel, line, limits, color) -> None:
    """What the machine allows for the same bytes and operations."""
    roof = []
    for row in line:
        least = limits.seconds(
            row.weight_bytes, row.weights == "warm", report.operations(row), row.activations, row.input_dtype
        )
        roof.append(report.operations(row) / least * 1e-9)
    panel.plot([row.batch for row in line], roof, color=color, linewidth=0.8, alpha=0.6)
