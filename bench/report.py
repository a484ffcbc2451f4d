"""Turns rows into lines to read: the running report of a benchmark."""

from __future__ import annotations

from contest import Row
from formats import Format
from limits import Limits
from peers import Operator

#: Cores that other processes may keep busy before a case is marked.
QUIET_LOAD = 0.2
#: Beginnings of the names of candidates that multiply by a dense weight.
DENSE = ("F.linear", "ggml BF16")


def operations(row: Row) -> float:
    return 2.0 * row.batch * row.out_features * row.in_features


def fraction_of_limit(row: Row, limits: Limits) -> float:
    """The least possible time over the measured one."""
    least = limits.seconds(row.weight_bytes, row.weights == "warm", operations(row), row.activations, row.input_dtype)
    return least / row.seconds


def ours_for(row: Row, case: list[Row], operator: Operator) -> Row | None:
    """The row of our operator to compare with: of the same group size, or of the largest where the peer has no such."""
    candidates = [r for r in case if operator.names(r.candidate) and r.seconds]
    same = [r for r in candidates if r.group_size == row.group_size]
    return (same or sorted(candidates, key=lambda r: -(r.group_size or r.in_features)) or [None])[0]


def case_table(case: list[Row], limits: Limits, form: Format) -> str:
    """One case, fastest first; the last columns say how many times longer than ours a peer takes (above 1: ours is faster)."""
    first = case[0]
    noisy = f"; other processes kept {first.other_load:.1f} cores busy" if first.other_load > QUIET_LOAD else ""
    headings = {operator: f"  /{operator.name}" for operator in form.operators}
    lines = [
        f"N={first.out_features} K={first.in_features} M={first.batch}, {threads_text(first.threads)}, weights {first.weights}{noisy}",
        f"  {'candidate':26}{'us':>11}{'GB/s':>8}{'GFLOP/s':>9}{'of limit':>9}{'error':>9}{''.join(headings.values())}",
    ]
    for row in sorted(case, key=lambda r: r.seconds or float("inf")):
        if row.seconds is None:
            lines.append(f"  {row.candidate:26}{row.problem}")
            continue
        ratios = ""
        for operator, heading in headings.items():
            ours = ours_for(row, case, operator)
            ratios += f"{row.seconds / ours.seconds:{len(heading)}.2f}" if ours else f"{'-':>{len(heading)}}"
        lines.append(
            f"  {row.candidate:26}{row.seconds * 1e6:11.1f}{row.weight_bytes / row.seconds * 1e-9:8.1f}"
            f"{operations(row) / row.seconds * 1e-9:9.1f}{fraction_of_limit(row, limits):9.0%}{row.error:9.1e}{ratios}"
        )
    return "\n".join(lines)


def limits_lines(limits: dict[int, Limits]) -> str:
    """The measured limits, a line per thread count."""
    lines = []
    for threads, limit in sorted(limits.items()):
        reads = ", ".join(f"{size_text(size)} {rate:.1f}" for size, rate in sorted(limit.read_gbps.items()))
        bf16 = f"{limit.bf16_gflops:.0f}" if limit.bf16_gflops else "none"
        lines.append(
            f"limits, {threads_text(threads)}: read GB/s by footprint: {reads}; fp32 {limit.fp32_gflops:.0f} GFLOP/s, "
            f"bf16 dot {bf16}, int8 dot {limit.int8_gops:.0f} GOP/s"
        )
    return "\n".join(lines)


def size_text(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def threads_text(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"
