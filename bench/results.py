"""A benchmark run as a JSON file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from contest import Row
from formats import FORMATS, Format
from limits import Limits


@dataclass
class Results:
    format: Format
    machine: dict
    commit: str  # of the library that was measured; "+" if its sources had changed since
    settings: dict
    versions: dict[str, str]  # by candidate
    absent: dict[str, str]  # candidate to reason
    limits: dict[int, Limits]  # by threads
    rows: list[Row]

    def __post_init__(self):
        self._cases: dict[tuple, list[Row]] = {}
        for row in self.rows:
            self._cases.setdefault(_case(row), []).append(row)

    def case_of(self, row: Row) -> list[Row]:
        """Every candidate's row for the same shape, batch size, thread count and weight temperature."""
        return self._cases[_case(row)]


def _case(row: Row) -> tuple:
    return row.out_features, row.in_features, row.batch, row.threads, row.weights


def save(results: Results, path: Path) -> None:
    """Writes the results, a row to a line so that a diff of two runs is readable."""
    head = {field.name: getattr(results, field.name) for field in dataclasses.fields(results) if field.name != "rows"}
    head["format"] = results.format.name
    head["limits"] = {threads: dataclasses.asdict(limits) for threads, limits in results.limits.items()}
    rows = ",\n".join("  " + json.dumps(dataclasses.asdict(row)) for row in results.rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(head, indent=1)[:-2] + ',\n "rows": [\n' + rows + "\n ]\n}\n")


def load(path: Path) -> Results:
    data = json.loads(path.read_text())
    data["format"] = FORMATS[data.get("format", "int4")]  # the first ones, of int4, do not say
    data["rows"] = [Row(**row) for row in data["rows"]]
    data["limits"] = {int(threads): _limits(limits) for threads, limits in data["limits"].items()}
    return Results(**data)


def _limits(data: dict) -> Limits:
    data["read_gbps"] = {int(size): rate for size, rate in data["read_gbps"].items()}
    return Limits(**data)
