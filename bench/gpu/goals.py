"""The speeds that the CUDA operators are meant to have, and what a run reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu.results import Results

INT4, INT8, INT8_DYNAMIC = "int4_mm g128", "int8_mm row", "int8_dynamic_mm row"
NF4, NF4_DEQUANTIZE = "nf4_mm g64", "nf4_dequantize g64"
SPARSE24, CUSPARSELT = "sparse24_mm bfloat16", "sparse24_cusparselt_mm bfloat16"
FP8_SCALED = "fp8_scaled_mm row"
DENSE = "F.linear bfloat16"
INT_MM = "torch _int_mm row"
BITSANDBYTES = "bitsandbytes NF4 g64"
CUBLASLT = "torch _scaled_mm tensor"
#: From this many rows of x on, a product is one of a prompt.
PREFILL_BATCH = 512


@dataclass(frozen=True)
class Goal:
    text: str
    #: What the run reached, as a factor of the goal for each case that it has: 1 or more is met. By case, for the report.
    reached: Callable[[Results], dict[str, float]]


def _microseconds(
    operator: str, shape: tuple[int, int], batch: int, most: float
) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        seconds = results.seconds(shape, batch, operator)
        return {f"{seconds * 1e6:.1f} us": most / (seconds * 1e6)} if seconds else {}

    return reached


def _read_rate(operator: str, batch: int, least: float, least_bytes: int) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        rows = [row for row in results.rows_of(operator, batch) if row["bytes"] >= least_bytes]
        return {results.place(row): results.fraction_of_read(row) / least for row in rows}

    return reached


def _copy_rate(conversion: str, least: float) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        rows = results.conversions(conversion)
        return {results.place(row): results.fraction_of_copy(row) / least for row in rows}

    return reached


def _against(
    operator: str, rival: str, batches: Callable[[int], bool], factor: float
) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        found = {}
        for row in results.rows_of(operator):
            seconds = results.seconds(results.shape(row), row["batch"], rival)
            if batches(row["batch"]) and seconds:
                found[results.place(row)] = seconds / row["seconds"] / factor
        return found

    return reached


def _against_one_row(operator: str, batch: int, factor: float) -> Callable[[Results], dict[str, float]]:
    def reached(results: Results) -> dict[str, float]:
        found = {}
        for row in results.rows_of(operator, batch):
            one = results.seconds(results.shape(row), 1, operator)
            if one:
                found[results.place(row)] = factor * one / row["seconds"]
        return found

    return reached


def _prefill(operator: str) -> Goal:
    name = operator.split()[0]
    return Goal(
        f"{name}, M=2048: 0.88 of dense bf16 or more", _against(operator, DENSE, lambda batch: batch == 2048, 0.88)
    )


def _weight_only(operator: str, most_microseconds: float) -> list[Goal]:
    """For a product with exact activations."""
    name = operator.split()[0]
    return [
        Goal(
            f"{name}, 8192x8192, M=1: {most_microseconds:.0f} us or less (on an H200)",
            _microseconds(operator, (8192, 8192), 1, most_microseconds),
        ),
        Goal(
            f"{name}, M=1: 85% of the read rate for weights of 100 MB or more",
            _read_rate(operator, 1, 0.85, 100_000_000),
        ),
        Goal(f"{name}, M=16 within 1.15 times M=1", _against_one_row(operator, 16, 1.15)),
        _prefill(operator),
        Goal(
            f"{name}, never slower than dense bf16 below M=2048",
            _against(operator, DENSE, lambda batch: batch < 2048, 1.0),
        ),
    ]


GOALS = [
    *_weight_only(INT4, 12.0),
    *_weight_only(INT8, 19.0),
    Goal("int8_dynamic_mm, faster than _int_mm at every M", _against(INT8_DYNAMIC, INT_MM, lambda batch: True, 1.0)),
    _prefill(NF4),
    Goal("nf4_mm, as fast as bitsandbytes at every M", _against(NF4, BITSANDBYTES, lambda batch: True, 1.0)),
    Goal("nf4_dequantize: 85% of the copy rate", _copy_rate(NF4_DEQUANTIZE, 0.85)),
    Goal("sparse24_mm, M<=16: 1.4 of dense bf16 or more", _against(SPARSE24, DENSE, lambda batch: batch <= 16, 1.4)),
    Goal(
        f"sparse24_cusparselt_mm, M>={PREFILL_BATCH}: 1.2 of dense bf16 or more",
        _against(CUSPARSELT, DENSE, lambda batch: batch >= PREFILL_BATCH, 1.2),
    ),
    Goal(
        "fp8_scaled_mm with scales of rows: 0.95 of cuBLASLt's with one for all, at every M",
        _against(FP8_SCALED, CUBLASLT, lambda batch: True, 0.95),
    ),
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
