"""A progress bar that is also a tracker: speed, losses and time left while training runs."""

import os
import sys
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dcgan.system.progress import ProgressLines, note_sign

SHOWN = {
    "discriminator/loss": "D {:.3f}",
    "generator/loss": "G {:.3f}",
    "train/quick_fcd": "fcd {:.2f}",
    "train/images_per_second": "{:,.0f} images/s",
}


class ProgressBar:
    """A bar over `end` steps; where stderr is no terminal, a plain line every half minute."""

    def __init__(self, description: str, *, start: int = 0, end: int | None = None) -> None:
        self._newest: dict[str, float] = {}
        self._highest_speed, self._has_told = 0.0, False
        self._lines = None if sys.stderr.isatty() else ProgressLines(description, start=start, end=end)
        self._bar = tqdm(desc=description, total=end, initial=start, unit="step", disable=self._lines is not None)

    def __enter__(self) -> Self:
        """Show the bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is, and end its line; in a log, say how far it came."""
        self._bar.close()
        if self._lines:
            self._lines.tell(note=self._note())

    def advance_to(self, step: int, end: int | None = None) -> None:
        """Move the bar to `step`, and its end to `end` if given."""
        if self._lines:
            self._lines.advance_to(step, end, note=self._note())
            return
        note_sign()
        self._bar.total = end or self._bar.total
        self._bar.update(step - self._bar.n)

    def tell(self, line: str) -> None:
        """Print a line without tearing the bar."""
        self._bar.write(line, file=sys.stdout)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Show the newest losses and quick evaluation."""
        self._newest |= metrics
        self._bar.set_postfix_str(self._note(), refresh=False)
        self.advance_to(step)

    def _note(self) -> str:
        return ", ".join(form.format(self._newest[key]) for key, form in SHOWN.items() if key in self._newest)

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Show the newest speed, and once why it may have fallen to a third of the highest."""
        self.log_metrics(metrics, step=step)
        speed = metrics.get("train/images_per_second", self._highest_speed)
        self._highest_speed = max(self._highest_speed, speed)
        if speed < self._highest_speed / 3 and not self._has_told:
            self._has_told = True
            load = f"the load is {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            advice = "end other processes, or give the next training fewer train.threads"
            self.log_event("slow", f"{speed:,.0f} images/s after {self._highest_speed:,.0f}; {load}: {advice}")

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Show nothing: a terminal has no place for a grid."""

    def log_event(self, name: str, text: str) -> None:
        """Print the event as a warning, without tearing the bar."""
        self._bar.write(f"warning: {name}: {text}", file=sys.stderr)

    def rewind(self, step: int) -> None:
        """Move the bar back."""
        self.advance_to(step)
