"""What a measuring process found so far, a line of JSON for each thing, so that nothing is lost when it ends early.

A kernel that touches memory that is not its own takes the whole process with it. Before something runs for the first time its name is written down;
a process that starts anew finds names without an end, and leaves these out.
"""

from __future__ import annotations

import json
from pathlib import Path


class Journal:
    def __init__(self, path: Path):
        self._path = path
        self.ceilings: dict | None = None
        self.rows: list[dict] = []
        self.clocks: list[dict] = []
        self.notes: list[str] = []
        #: What crashed a process, and is not to run again.
        self.crashed: list[str] = []
        self._begun: list[str] = []
        self._ended: set[str] = set()
        if path.is_file():
            text = path.read_text()
            if text and not text.endswith("\n"):
                path.write_text(text + "\n")  # what follows a line that was cut off is one of its own
            for line in text.splitlines():
                try:
                    self._take(json.loads(line))
                except ValueError:  # cut off in the middle
                    continue

    def _take(self, entry: dict) -> None:
        kind, value = entry["kind"], entry["value"]
        if kind == "ceilings":
            self.ceilings = value
        elif kind == "begin":
            self._begun.append(value)
        elif kind == "end":
            self._ended.add(value)
        else:
            {"row": self.rows, "clocks": self.clocks, "note": self.notes, "crashed": self.crashed}[kind].append(value)

    def write(self, kind: str, value) -> None:
        entry = {"kind": kind, "value": value}
        self._take(entry)
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def unfinished(self) -> list[str]:
        """What began and never ended, and is not known to have crashed. Asked by another process than the one that runs it."""
        return [name for name in dict.fromkeys(self._begun) if name not in self._ended and name not in self.crashed]

    def is_done(self, name: str) -> bool:
        return name in self._ended
