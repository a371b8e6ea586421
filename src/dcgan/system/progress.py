"""Progress in plain lines, for logs: how far some work is, every half minute."""

import sys
import time

FIRST_S, EVERY_S = 5.0, 30.0
"""Until the first line, and between two of them; work that is done before says nothing."""


class ProgressLines:
    """Lines on stderr, each with the pace since the line before."""

    def __init__(self, description: str, *, start: int = 0, end: int | None = None, unit: str = "step") -> None:
        self._description, self._unit, self._step, self._end = description, unit, start, end
        self._told_step, self._told_at = start, time.monotonic()
        self._due_at = self._told_at + FIRST_S

    def advance_to(self, step: int, end: int | None = None, *, note: str = "") -> None:
        """Note how many steps are done, of how many if that is new; prints a line if one is due."""
        self._step, self._end = step, end or self._end
        if time.monotonic() >= self._due_at:
            self.tell(note=note)

    def tell(self, *, note: str = "") -> None:
        """Print a line now."""
        now = time.monotonic()
        parts = [f"{self._unit} {self._step:,}" + (f" of {self._end:,}" if self._end else "")]
        done, seconds = self._step - self._told_step, now - self._told_at
        if self._end and done > 0:
            parts.append(f"{_shown((self._end - self._step) * seconds / done)} left")
        line = ", ".join([*parts, *([note] if note else [])])
        print(f"{self._description}: {line}", file=sys.stderr, flush=True)
        self._told_step, self._told_at, self._due_at = self._step, now, now + EVERY_S


def _shown(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{round(seconds)} s"
