"""Where a training run reports to: a protocol, and the trackers that need no tool."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray


class Tracker(Protocol):
    """What training tells the world. Metric keys read `player/quantity`, e.g. `generator/loss`."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the finite `metrics` as they were after `step` steps; equal runs give equal ones."""

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """As `log_metrics`, for what differs from run to run: no file that must be reproducible may hold it."""

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Record one grid of samples, uint8 [height, width], as drawn after `step` steps."""

    def log_event(self, name: str, text: str) -> None:
        """Record something that a person should know; the same `name` replaces what it told before."""

    def rewind(self, step: int) -> None:
        """Forget what came after `step`, and for 0 what came at it: training goes back there, and it comes anew."""


class NullTracker:
    """Records nothing."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Drop the metrics."""

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Drop the timings."""

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Drop the grid."""

    def log_event(self, name: str, text: str) -> None:
        """Drop the event."""

    def rewind(self, step: int) -> None:
        """There is nothing to forget."""


class RecordingTracker:
    """Keeps everything in memory: `metrics` and `samples` by step, `events` by name."""

    def __init__(self) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.samples: dict[int, NDArray[np.uint8]] = {}
        self.events: dict[str, str] = {}

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Keep the metrics under their step."""
        self.metrics.setdefault(step, {}).update(metrics)

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Keep the timings as `log_metrics` does."""
        self.log_metrics(metrics, step=step)

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Keep the grid under its step."""
        self.samples[step] = pixels

    def log_event(self, name: str, text: str) -> None:
        """Keep the event under its name."""
        self.events[name] = text

    def rewind(self, step: int) -> None:
        """Drop the later metrics and grids."""
        self.metrics = {each: row for each, row in self.metrics.items() if is_kept(each, rewound_to=step)}
        self.samples = {each: grid for each, grid in self.samples.items() if is_kept(each, rewound_to=step)}


class TeeTracker:
    """Passes everything on to several trackers, in order; as a context manager, it opens and closes them."""

    def __init__(self, *trackers: Tracker) -> None:
        self.trackers = trackers
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Open the trackers that can be opened; what is opened is closed if another one fails to."""
        with ExitStack() as opening:
            for tracker in self.trackers:
                if isinstance(tracker, AbstractContextManager):
                    opening.enter_context(tracker)
            self._opened = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close them, the last one first."""
        self._opened.__exit__(kind, error, traceback)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the metrics everywhere."""
        for tracker in self.trackers:
            tracker.log_metrics(metrics, step=step)

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the timings everywhere."""
        for tracker in self.trackers:
            tracker.log_timings(metrics, step=step)

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Record the grid everywhere."""
        for tracker in self.trackers:
            tracker.log_samples(pixels, step=step)

    def log_event(self, name: str, text: str) -> None:
        """Record the event everywhere."""
        for tracker in self.trackers:
            tracker.log_event(name, text)

    def rewind(self, step: int) -> None:
        """Forget it everywhere."""
        for tracker in self.trackers:
            tracker.rewind(step)


def is_kept(step: int, *, rewound_to: int) -> bool:
    """Whether a record of `step` stays when training goes back; what was recorded at 0 comes again from there."""
    return step <= rewound_to and rewound_to > 0
