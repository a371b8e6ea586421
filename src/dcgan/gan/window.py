"""Measurements and time between two reports."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from dcgan.gan.monitor import diverged
from dcgan.gan.parallel import average


class Window:
    """The measurements since the last report, and how long their steps took; both stay on the device until asked for.

    On a GPU, calls return before their work is done. The clock is therefore read only after the device has finished.
    """

    def __init__(self, device: torch.device) -> None:
        self.length = 0
        """Steps so far."""
        self._values: dict[str, list[Tensor]] = defaultdict(list)
        self._steps: dict[str, list[int]] = defaultdict(list)
        self._device = device
        self._started = time.perf_counter()

    def add(self, measurements: Mapping[str, Tensor], *, step: int) -> None:
        """Add what the given step measured."""
        for key, value in measurements.items():
            self._values[key].append(value)
            self._steps[key].append(step)
        self.length += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the time in this block not count."""
        synchronize(self._device)
        stopped = time.perf_counter()
        yield
        self._started += time.perf_counter() - stopped

    def steps_per_second(self) -> float:
        """How fast the device made the steps."""
        synchronize(self._device)
        return self.length / (time.perf_counter() - self._started)

    def means(self) -> dict[str, float]:
        """The mean of every quantity.

        Raises:
            DivergedError: as `require_finite`.
        """
        self.require_finite()
        return {key: float(row.mean()) for key, row in self._rows().items()}

    def require_finite(self) -> None:
        """Raise DivergedError if a measurement is not finite; the first one is named with its step."""
        failures = [
            (self._steps[key][index], key, float(row[index]))
            for key, row in self._rows().items()
            for index in (~torch.isfinite(row)).nonzero()[:1, 0].tolist()
        ]
        if failures:
            step, key, value = min(failures)
            raise diverged(key, value, step=step)

    def _rows(self) -> dict[str, Tensor]:
        rows = {key: torch.stack(values).float() for key, values in self._values.items()}
        average(list(rows.values()))
        return {key: row.cpu() for key, row in rows.items()}


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
