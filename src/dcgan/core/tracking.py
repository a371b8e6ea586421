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
        """Record the finite `metrics` as they were after `step` steps."""

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Record one grid of samples, uint8 [height, width], as drawn after `step` steps."""


class NullTracker:
    """Records nothing."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Drop the metrics."""

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Drop the grid."""


class RecordingTracker:
    """Keeps everything in memory: `metrics` and `samples` by step."""

    def __init__(self) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.samples: dict[int, NDArray[np.uint8]] = {}

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Keep the metrics under their step."""
        self.metrics.setdefault(step, {}).update(metrics)

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Keep the grid under its step."""
        self.samples[step] = pixels


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

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Record the grid everywhere."""
        for tracker in self.trackers:
            tracker.log_samples(pixels, step=step)
