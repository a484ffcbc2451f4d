"""Runs a program with a time limit, and keeps what it printed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

#: What a program that ran past its limit may still take to end, before it is killed.
GRACE_SECONDS = 3.0


@dataclass
class Finished:
    exit_code: int | None  # None: it ran past its limit, or could not be started
    seconds: float
    output: str  # stdout and stderr together

    @property
    def timed_out(self) -> bool:
        return self.exit_code is None

    def tail(self, lines: int = 8) -> list[str]:
        """The last lines of what it printed; the first one of the log is the command."""
        return [line for line in self.output.splitlines()[1:] if line.strip()][-lines:]


class Process:
    """A program that runs in a process group of its own, so that what it starts ends with it."""

    def __init__(self, command: list[str], limit_seconds: float, log: Path, environment: dict[str, str], cwd: Path):
        self._log = log
        self._begin = time.monotonic()
        self._end = self._begin + limit_seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen | None = None
        with log.open("w") as file:
            file.write(f"$ {' '.join(command)}\n")
            file.flush()
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=cwd,
                    start_new_session=True,
                )
            except OSError as error:
                file.write(f"could not be started: {error}\n")

    def is_due(self) -> bool:
        """Whether wait() would end it or find it ended."""
        return self._process is None or self._process.poll() is not None or time.monotonic() >= self._end

    def wait(self) -> Finished:
        if self._process is None:
            return Finished(127, 0.0, self._log.read_text(errors="replace"))
        try:
            exit_code = self._process.wait(max(0.1, self._end - time.monotonic()))
        except subprocess.TimeoutExpired:
            exit_code = None
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        self._signal(signal.SIGKILL)  # also what it left behind
        self._process.wait()
        return Finished(exit_code, time.monotonic() - self._begin, self._log.read_text(errors="replace"))

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


def run(
    command: list[str],
    limit_seconds: float,
    log: Path,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Finished:
    """environment: added to this process's."""
    return Process(command, limit_seconds, log, {**os.environ, **(environment or {})}, cwd or Path.cwd()).wait()
