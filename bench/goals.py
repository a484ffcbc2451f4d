"""How far a run is from the speeds that our operators are meant to have."""

from __future__ import annotations

from dataclasses import dataclass

import report
from contest import Row
from formats import Goal
from formats.base import BEST_DENSE, READ_LIMIT
from results import Results
from weights import group_text


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
    for goal in results.format.goals:
        factors = [
            (factor, row)
            for row in results.rows
            if goal.operator.names(row.candidate)
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
            f"{row.out_features}x{row.in_features} {group_text(row.group_size)}, M={row.batch}, "
            f"{report.threads_text(row.threads)}"
        )
        verdict = f"{outcome.met} of {outcome.cases}"
        lines.append(
            f"| {goal.operator.name} | {goal.batches[0]}..{goal.batches[1]} | {goal.weights} | {goal.rival} | {goal.factor:.2f}x "
            f"| {verdict if outcome.met == outcome.cases else f'**{verdict}**'} | {outcome.worst:.2f}x | {where} |"
        )
    return "\n".join(lines)
