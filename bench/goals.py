"""The speeds that int4_mm and int4_dynamic_mm are meant to have, and how far a run is from them."""

from __future__ import annotations

from dataclasses import dataclass

import report
from contest import Row
from results import Results

DECODE, BETWEEN, PREFILL = (1, 4), (4, 64), (64, 256)
READ_LIMIT = "read limit"
BEST_DENSE = "best dense"


@dataclass(frozen=True)
class Goal:
    """Over these batch sizes, `operator` reaches `factor` of the limit, or is `factor` times as fast as the peer."""

    operator: str
    batches: tuple[int, int]  # first and last
    weights: str
    rival: str  # READ_LIMIT, BEST_DENSE, or the beginning of a candidate's name
    factor: float


GOALS = [
    Goal("int4_mm", DECODE, "cold", READ_LIMIT, 0.85),
    Goal("int4_mm", DECODE, "cold", "ggml Q4_0", 1.3),
    Goal("int4_mm", DECODE, "cold", "torch int4pack", 1.6),
    Goal("int4_mm", BETWEEN, "cold", BEST_DENSE, 1.0),
    Goal("int4_mm", PREFILL, "cold", "F.linear bfloat16", 0.95),
    Goal("int4_mm", PREFILL, "cold", BEST_DENSE, 0.95),
    Goal("int4_mm", PREFILL, "cold", "ggml Q4_0", 1.6),
    Goal("int4_mm", PREFILL, "cold", "torch int4pack", 2.5),
    Goal("int4_mm", PREFILL, "warm", "ONNX Runtime level 0", 1.0),
    Goal("int4_dynamic_mm", DECODE, "cold", READ_LIMIT, 0.85),
    Goal("int4_dynamic_mm", DECODE, "cold", "ggml Q4_0", 1.3),
    Goal("int4_dynamic_mm", DECODE, "cold", "torch int4pack", 1.6),
    Goal("int4_dynamic_mm", DECODE, "warm", "ONNX Runtime level 4", 1.0),
    Goal("int4_dynamic_mm", BETWEEN, "cold", BEST_DENSE, 1.0),
    Goal("int4_dynamic_mm", PREFILL, "cold", "F.linear bfloat16", 1.7),
    Goal("int4_dynamic_mm", PREFILL, "cold", BEST_DENSE, 1.7),
    Goal("int4_dynamic_mm", PREFILL, "cold", "ggml Q4_0", 2.7),
    Goal("int4_dynamic_mm", PREFILL, "cold", "OpenVINO dynamic", 1.7),
    Goal("int4_dynamic_mm", PREFILL, "warm", "ONNX Runtime level 4", 1.0),
]


@dataclass(frozen=True)
class Outcome:
    goal: Goal
    cases: int
    met: int
    worst: float
    worst_row: Row


def outcomes(results: Results) -> list[Outcome]:
    """Each goal that the run has cases for, over all shapes, thread counts and group sizes that it measured."""
    found = []
    for goal in GOALS:
        factors = [
            (factor, row)
            for row in results.rows
            if row.candidate.startswith(f"{goal.operator} g")
            and row.seconds
            and row.weights == goal.weights
            and goal.batches[0] <= row.batch <= goal.batches[1]
            and (factor := _factor(goal, row, results)) is not None
        ]
        if factors:
            worst, worst_row = min(factors, key=lambda pair: pair[0])
            met = sum(factor >= goal.factor for factor, _ in factors)
            found.append(Outcome(goal, len(factors), met, worst, worst_row))
    return found


def _factor(goal: Goal, row: Row, results: Results) -> float | None:
    """What the row reaches of the goal's rival; None where the rival was not measured."""
    if goal.rival == READ_LIMIT:
        rate = results.limits[row.threads].read_rate(row.weight_bytes, row.weights == "warm")
        return row.weight_bytes * 1e-9 / row.seconds / rate
    prefixes = report.DENSE if goal.rival == BEST_DENSE else (goal.rival,)
    rivals = [r for r in results.case_of(row) if r.candidate.startswith(prefixes) and r.seconds]
    same_group = [r for r in rivals if r.group_size == row.group_size]
    times = [r.seconds for r in same_group or rivals]
    return min(times) / row.seconds if times else None


def table(results: Results) -> str:
    """Markdown: a line per goal."""
    lines = [
        "| operator | M | weights | against | goal | cases met | worst | where |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for outcome in outcomes(results):
        goal, row = outcome.goal, outcome.worst_row
        where = (
            f"{row.out_features}x{row.in_features} g{row.group_size}, M={row.batch}, {report.threads_text(row.threads)}"
        )
        verdict = f"{outcome.met} of {outcome.cases}"
        lines.append(
            f"| {goal.operator} | {goal.batches[0]}..{goal.batches[1]} | {goal.weights} | {goal.rival} | {goal.factor:.2f}x "
            f"| {verdict if outcome.met == outcome.cases else f'**{verdict}**'} | {outcome.worst:.2f}x | {where} |"
        )
    return "\n".join(lines)
