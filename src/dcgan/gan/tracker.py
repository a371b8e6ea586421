"""Where a training reports to: the protocol, and a tracker that passes everything on to several."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Tracker(Protocol):
    """What records a training. Metric keys read `player/quantity`, e.g. `generator/loss`."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the finite `metrics` as they were after `step` steps; equal runs give equal ones."""

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """As `log_metrics`, for what differs from run to run: no file that must be reproducible may hold it."""

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Record one grid of samples, uint8 [height, width], as drawn after `step` steps."""

    def log_event(self, name: str, text: str) -> None:
        """Record a text that a person should read; it replaces an earlier one of the same `name`."""

    def rewind(self, step: int) -> None:
        """Forget what came after `step`, and for 0 what came at it: training goes back there, and all comes again."""


class TeeTracker:
    """Passes everything on to several trackers, in order."""

    def __init__(self, *trackers: Tracker) -> None:
        self._trackers = trackers

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the metrics everywhere."""
        for tracker in self._trackers:
            tracker.log_metrics(metrics, step=step)

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record the timings everywhere."""
        for tracker in self._trackers:
            tracker.log_timings(metrics, step=step)

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Record the grid everywhere."""
        for tracker in self._trackers:
            tracker.log_samples(pixels, step=step)

    def log_event(self, name: str, text: str) -> None:
        """Record the event everywhere."""
        for tracker in self._trackers:
            tracker.log_event(name, text)

    def rewind(self, step: int) -> None:
        """Forget it everywhere."""
        for tracker in self._trackers:
            tracker.rewind(step)


def is_kept(step: int, *, rewound_to: int) -> bool:
    """Whether a record of `step` stays when training goes back; what was recorded at 0 comes again from there."""
    return step <= rewound_to and rewound_to > 0
