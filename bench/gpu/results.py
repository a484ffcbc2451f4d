"""A run as it is written to JSON, and the questions that the report asks of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Results:
    device: dict
    commit: str
    dry_run: bool
    steps: list[dict] = field(default_factory=list)
    ceilings: dict | None = None
    rows: list[dict] = field(default_factory=list)  # measure.Row
    clocks: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @staticmethod
    def shape(row: dict) -> tuple[int, int]:
        return row["out_features"], row["in_features"]

    @staticmethod
    def place(row: dict) -> str:
        return f"{row['out_features']}x{row['in_features']} M={row['batch']}"

    def rows_of(self, candidate: str, batch: int | None = None) -> list[dict]:
        """The timed ones; of products only."""
        return [
            row
            for row in self.rows
            if row["candidate"] == candidate and row["seconds"] and row["batch"] > 0 and batch in (None, row["batch"])
        ]

    def seconds(self, shape: tuple[int, int], batch: int, candidate: str) -> float | None:
        return next((row["seconds"] for row in self.rows_of(candidate, batch) if self.shape(row) == shape), None)

    def conversions(self, name: str | None = None) -> list[dict]:
        """The right and timed ones; of this name, or all."""
        return [
            row
            for row in self.rows
            if row["batch"] == 0 and row["seconds"] and not row["problem"] and name in (None, row["candidate"])
        ]

    def fraction_of_read(self, row: dict) -> float:
        return row["bytes"] / row["seconds"] / self.ceilings["read_bytes_per_second"]

    def fraction_of_copy(self, row: dict) -> float:
        return row["bytes"] / row["seconds"] / self.ceilings["copy_bytes_per_second"]

    def save(self, path: Path) -> None:
        """A row to a line, so that a diff of two runs is readable."""
        head = json.dumps({key: value for key, value in vars(self).items() if key != "rows"}, indent=1)
        rows = ",\n".join("  " + json.dumps(row) for row in self.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head[:-2] + ',\n "rows": [\n' + rows + "\n ]\n}\n")

    @staticmethod
    def load(path: Path) -> Results:
        return Results(**json.loads(path.read_text()))
