"""The tables of a page such as int4_cpu.md, from a benchmark's JSON."""

from __future__ import annotations

import goals
import report
from contest import Row
from peers import Operator
from report import threads_text
from results import Results
from weights import group_text

HEADLINE_BATCHES = (1, 4, 16, 64, 256)


def tables(results: Results) -> str:
    """Everything that there is to say about a run; every figure in it comes from the run."""
    where = results.machine
    parts = [
        f"Measured on {where['cpu']} ({where['microarchitecture']}; {', '.join(where['isa'])}), {where['cores']} cores, "
        f"torch {where['torch']}, library commit `{results.commit}`. {_versions(results)}",
        "The machine's limits, measured in the same run:",
        _limits(results),
    ]
    shape = (results.rows[0].out_features, results.rows[0].in_features)
    for threads in sorted(results.limits):
        for weights in ("cold", "warm"):
            if rows := _select(results, shape, threads, weights):
                parts += [
                    f"Microseconds, N={shape[0]}, K={shape[1]}, {threads_text(threads)}, weights {weights}:",
                    _times(results, rows),
                ]
    for operator in results.format.operators:
        if any(operator.names(row.candidate) and row.seconds for row in results.rows):
            parts += [_shapes_caption(results, operator), _shapes(results, operator)]
    parts += ["Against the goals, over every case of the run (bold: not all met):", goals.table(results)]
    return "\n\n".join(parts)


def _versions(results: Results) -> str:
    present = ", ".join(
        dict.fromkeys(version for version in results.versions.values() if not version.startswith("torch"))
    )
    absent = "; ".join(f"{name}: {reason}" for name, reason in results.absent.items())
    return f"Peers: {present}." + (f" Absent: {absent}." if absent else "")


def _limits(results: Results) -> str:
    lines = [
        "| threads | read from memory | read from cache, by footprint | fp32 FMA | bf16 dot | int8 dot |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for threads, limit in sorted(results.limits.items()):
        *caches, memory = sorted(limit.read_gbps.items())
        by_footprint = ", ".join(f"{report.size_text(size)}: {rate:.0f}" for size, rate in caches)
        bf16 = f"{limit.bf16_gflops:.0f} GFLOP/s" if limit.bf16_gflops else "none"
        lines.append(
            f"| {threads} | {memory[1]:.1f} GB/s | {by_footprint} GB/s | {limit.fp32_gflops:.0f} GFLOP/s | {bf16} "
            f"| {limit.int8_gops:.0f} GOP/s |"
        )
    return "\n".join(lines)


def _select(results: Results, shape: tuple[int, int], threads: int, weights: str) -> list[Row]:
    return [
        row
        for row in results.rows
        if (row.out_features, row.in_features) == shape and row.threads == threads and row.weights == weights
    ]


def _times(results: Results, rows: list[Row]) -> str:
    """A line per candidate, a column per batch size; ours in bold, in the order in which they were run."""
    batches = [batch for batch in HEADLINE_BATCHES if any(row.batch == batch for row in rows)]
    lines = [
        "| | " + " | ".join(f"M={batch}" for batch in batches) + " | activations | error |",
        "| --- | " + "--- | " * len(batches) + "--- | --- |",
    ]
    for name in dict.fromkeys(row.candidate for row in rows):
        by_batch = {row.batch: row for row in rows if row.candidate == name}
        cells = [f"{by_batch[b].seconds * 1e6:,.0f}" if by_batch[b].seconds else by_batch[b].problem for b in batches]
        last = by_batch[batches[-1]]
        error = f"{last.error:.1e}" if last.error is not None else ""
        label = f"**{name}**" if results.format.operator_of(name) else name
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {last.activations} | {error} |")
    return "\n".join(lines)


def _shapes_caption(results: Results, operator: Operator) -> str:
    return (
        f"`{operator.name}` at every shape: GB/s of weights (M=1) or GFLOP/s, the part of the limit, and how many times as fast it "
        f"is as the fastest dense product / the fastest {results.format.kind} peer with {operator.activations} activations:"
    )


def _shapes(results: Results, operator: Operator) -> str:
    ours = [row for row in results.rows if operator.names(row.candidate) and row.seconds]
    batches = [batch for batch in HEADLINE_BATCHES if any(row.batch == batch for row in ours)]
    lines = [
        "| N x K | group | threads | weights | " + " | ".join(f"M={batch}" for batch in batches) + " |",
        "| --- | --- | --- | --- | " + "--- | " * len(batches),
    ]
    settings = dict.fromkeys((r.out_features, r.in_features, r.group_size, r.threads, r.weights) for r in ours)
    for setting in settings:
        by_batch = {
            r.batch: r for r in ours if (r.out_features, r.in_features, r.group_size, r.threads, r.weights) == setting
        }
        cells = [_cell(by_batch[batch], results, operator) if batch in by_batch else "-" for batch in batches]
        rows, columns, group, threads, weights = setting
        lines.append(
            f"| {rows}x{columns} | {group or group_text(group)} | {threads} | {weights} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def _cell(row: Row, results: Results, operator: Operator) -> str:
    if row.batch == 1:
        rate = f"{row.weight_bytes / row.seconds * 1e-9:.1f} GB/s"
    else:
        rate = f"{report.operations(row) / row.seconds * 1e-9:.0f}"
    case = [other for other in results.case_of(row) if other.seconds]
    dense = [other.seconds for other in case if other.candidate.startswith(report.DENSE)]
    peers = [
        other.seconds
        for other in case
        if other.activations == operator.activations
        and not other.candidate.startswith(report.DENSE)
        and results.format.operator_of(other.candidate) is None
    ]
    ratios = [f"{min(times) / row.seconds:.1f}x" if times else "-" for times in (dense, peers)]
    return f"{rate}, {report.fraction_of_limit(row, results.limits[row.threads]):.0%}, {' / '.join(ratios)}"
