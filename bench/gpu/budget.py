"""The time that a run has, shared out among its steps as they come."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """Steps come in a fixed order; each may take its `most`, but leaves to the later ones what they need at least."""

    def __init__(self, seconds: float, least: dict[str, float], now: Callable[[], float] = time.monotonic):
        """least: by step, in their order, the seconds without which a step is not worth beginning."""
        self._now = now
        self._end = now() + seconds
        self._least = dict(least)

    def left(self) -> float:
        return max(0.0, self._end - self._now())

    def allot(self, step: str, most: float) -> float:
        """Seconds for the step that begins now; 0 where it cannot have its least."""
        names = list(self._least)
        later = sum(self._least[name] for name in names[names.index(step) + 1 :])
        # Where not even the least of all remains, the earlier step goes first.
        seconds = min(most, max(self.left() - later, min(self._least[step], self.left())))
        return seconds if seconds >= self._least[step] else 0.0
