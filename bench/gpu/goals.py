"""The speeds that the CUDA operators are meant to have, and what a run reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu.results import Results

OPERATOR = "int4_mm g128"
DENSE = "F.linear bfloat16"


@dataclass(frozen=True)
class Goal:
    text: str
    #: What the run reached, as a factor of the goal for each case that it has: 1 or more is met. By case, for the report.
    reached: Callable[[Results], dict[str, float]]


def _microseconds(shape: tuple[int, int], batch: int, most: float) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        seconds = results.seconds(shape, batch, OPERATOR)
        return {f"{seconds * 1e6:.1f} us": most / (seconds * 1e6)} if seconds else {}

    return reached


def _read_rate(batch: int, least: float, least_bytes: int) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        rows = [row for row in results.rows_of(OPERATOR, batch) if row["bytes"] >= least_bytes]
        return {results.place(row): results.fraction_of_read(row) / least for row in rows}

    return reached


def _against_dense(batches: Callable[[int], bool], factor: float) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        found = {}
        for row in results.rows_of(OPERATOR):
            dense = results.seconds(results.shape(row), row["batch"], DENSE)
            if batches(row["batch"]) and dense:
                found[results.place(row)] = dense / row["seconds"] / factor
        return found

    return reached


def _against_one_row(batch: int, factor: float) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        found = {}
        for row in results.rows_of(OPERATOR, batch):
            one = results.seconds(results.shape(row), 1, OPERATOR)
            if one:
                found[results.place(row)] = factor * one / row["seconds"]
        return found

    return reached


GOALS = [
    Goal("8192x8192, M=1: 12 us or less (on an H200)", _microseconds((8192, 8192), 1, 12.0)),
    Goal("M=1: 85% of the read rate for weights of 100 MB or more", _read_rate(1, 0.85, 100_000_000)),
    Goal("M=16 within 1.15 times M=1", _against_one_row(16, 1.15)),
    Goal("M=2048: 0.88 of dense bf16 or more", _against_dense(lambda batch: batch == 2048, 0.88)),
    Goal("never slower than dense bf16 below M=2048", _against_dense(lambda batch: batch < 2048, 1.0)),
]


def lines(results: Results) -> list[str]:
    """A line for each goal that the run has cases for."""
    found = []
    for goal in GOALS:
        if reached := goal.reached(results):
            worst = min(reached, key=reached.get)
            met = sum(factor >= 1 for factor in reached.values())
            found.append(f"{goal.text}: {met} of {len(reached)} met, worst {reached[worst]:.2f} of the goal ({worst})")
    return found
