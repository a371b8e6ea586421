"""Progress in plain lines, for logs: how far some work is, every half minute, or at least that it goes on."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

FIRST_S, EVERY_S = 5.0, 30.0
"""Until the first line, and between two of them; work that is done before says nothing."""
HEARTBEAT_S = 40.0
"""After so long a silence a heartbeat speaks: later than lines that come every half minute."""
ESTIMATE_STEPS = 20
"""Steps from which the first line estimates how long the rest takes: the very first ones take longer."""


_signs = [time.monotonic()]


def note_sign() -> None:
    """Note that progress was shown now, as by a bar that moved."""
    _signs[0] = time.monotonic()


def last_sign() -> float:
    """When progress was last shown, by the monotonic clock."""
    return _signs[0]


def tell(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)
    note_sign()


@contextmanager
def heartbeat(name: str) -> Iterator[None]:
    """Within the block, a line says that the work goes on whenever nothing has been told for a while.

    Of the processes that torchrun starts, the first one speaks.
    """
    note_sign()
    started, ended = time.monotonic(), Event()

    def beat() -> None:
        while not ended.wait(max(0.0, last_sign() + HEARTBEAT_S - time.monotonic())):
            if time.monotonic() >= last_sign() + HEARTBEAT_S:
                tell(f"{name}: still at work after {_shown(time.monotonic() - started)}")

    if os.environ.get("RANK", "0") == "0":
        Thread(target=beat, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


class ProgressLines:
    """Lines on stderr, each with the pace since the line before."""

    def __init__(self, description: str, *, start: int = 0, end: int | None = None, unit: str = "step") -> None:
        self._description, self._unit, self._step, self._end = description, unit, start, end
        self._told_step, self._told_at, self._is_first = start, time.monotonic(), True
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
        if self._end and self._step < self._end and done >= (ESTIMATE_STEPS if self._is_first else 1):
            parts.append(f"{_shown((self._end - self._step) * seconds / done)} left")
        tell(f"{self._description}: {', '.join([*parts, *([note] if note else [])])}")
        self._told_step, self._told_at, self._is_first, self._due_at = self._step, now, False, now + EVERY_S


def _shown(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if seconds >= 60 else f"{round(seconds)} s"
