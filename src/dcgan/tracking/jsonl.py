"""The tracker that writes a training's record to disk: history, timings, events, and one PNG a grid of samples."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan.config import workspace
from dcgan.gan.tracker import is_kept
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, storage_error, write_atomically, write_bytes, write_json
from dcgan.tracking.history import read_history

HISTORY = workspace.HISTORY.relative_to(workspace.REPORTS)
SAMPLES = workspace.SAMPLES.relative_to(workspace.REPORTS)
TIMINGS = workspace.TIMINGS.relative_to(workspace.REPORTS)
EVENTS = HISTORY.with_name("events.json")
TIME = "time_ms"
"""The key, in timings.jsonl, of the milliseconds since 1970 at which a row of either file was written."""
NAMES = {"step", TIME}
"""The keys that are no metrics."""
SCALE = 2
"""Grids are enlarged this many times, so that 28x28 digits can be read on a screen."""


class Point(NamedTuple):
    """A value of a metric."""

    key: str
    value: float
    step: int
    time_ms: int | None
    """Milliseconds since 1970, if they are known: those of the step's first row."""


class JsonlTracker:
    """Writes a record: `training/history.jsonl`, `training/samples/step-0000937.png`, `training/events.json`.

    What differs between equal runs, times and speeds, goes to `timings.jsonl` beside the folder `training`. Rows and
    grids of later steps than the one that training resumes from are dropped first: they will come again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        resume_from_step: int,
        publish_to: Path | None = None,
        sample_machine: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """Take up the record in `folder`.

        Args:
            folder: survives an interruption of the training.
            resume_from_step: of the checkpoint that training starts from; 0 starts afresh.
            publish_to: shows the same at all times; whatever other record it holds is replaced. For folders that DVC
                empties before the training.
            sample_machine: tells what the machine does; it is asked at every row.
        """
        self._sample_machine = sample_machine
        self._folders = [folder] if publish_to is None else [folder, publish_to]
        self._files: dict[Path, list[TextIO]] = {}
        self._events = read_events(folder) if resume_from_step else {}
        self._write_events()
        self.rewind(resume_from_step)

    def __enter__(self) -> Self:
        """Record while the block lasts."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._close()

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Append one row to the history; the operating system has it when this returns.

        Raises:
            StorageError: the disk is full or failed.
        """
        self._append(HISTORY, {"step": step, **metrics})
        self.log_timings({}, step=step)

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Append one row, with the present time and the machine's load, to the timings; raises as `log_metrics`."""
        now = time.time_ns() // 1_000_000
        self._append(TIMINGS, {"step": step, TIME: now, **metrics, **self._sample_machine()})

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Write one grid, uint8 [height, width], as a PNG of twice that size."""
        height, width = pixels.shape
        grid = Image.fromarray(pixels).resize((width * SCALE, height * SCALE), Image.Resampling.NEAREST)
        for each in self._folders:
            write_atomically(each / SAMPLES / f"step-{step:07d}.png", lambda file: grid.save(file, "PNG"))

    def log_event(self, name: str, text: str) -> None:
        """Write the event beside the others."""
        self._events[name] = text
        self._write_events()

    def rewind(self, step: int) -> None:
        """Drop the later rows and grids.

        Raises:
            BadDataError: the history is damaged.
        """
        self._close()
        folder = self._folders[0]
        grids = {path.name: path.read_bytes() for path in grids_in(folder) if is_kept(step_of(path), rewound_to=step)}
        for each in self._folders:
            for stale in grids_in(each):
                if stale.name not in grids:
                    stale.unlink()
            for name, content in grids.items():
                write_bytes(each / SAMPLES / name, content)
        for kind in (HISTORY, TIMINGS):
            kept = [row for row in _rows_in(folder, kind) if is_kept(int(row["step"]), rewound_to=step)]
            for each in self._folders:
                write_bytes(each / kind, "".join(map(_line, kept)).encode())
            self._files[kind] = [(each / kind).open("a", encoding="utf-8") for each in self._folders]

    def _append(self, kind: Path, row: Mapping[str, float]) -> None:
        for file in self._files[kind]:
            try:
                file.write(_line(row))
                file.flush()
            except OSError as error:
                raise storage_error(error, Path(file.name)) from error

    def _write_events(self) -> None:
        for each in self._folders:
            if self._events:
                write_json(each / EVENTS, self._events)
            else:
                (each / EVENTS).unlink(missing_ok=True)

    def _close(self) -> None:
        for file in (file for files in self._files.values() for file in files):
            with suppress(OSError):  # every row was flushed: what a full disk refuses now, it has refused before
                file.close()


def read_points(folder: Path, *, with_timings: bool) -> list[Point]:
    """Every metric of the record in `folder`; those of timings.jsonl, and all times, only `with_timings`.

    Raises:
        BadDataError: a file is damaged.
    """
    timings = read_history(folder / TIMINGS) if with_timings else []
    times = {int(row["step"]): int(row[TIME]) for row in reversed(timings)}
    rows = [(int(row["step"]), row) for row in (*read_history(folder / HISTORY), *timings)]
    return [
        Point(key, value, step, times.get(step)) for step, row in rows for key, value in row.items() if key not in NAMES
    ]


def read_events(folder: Path) -> dict[str, str]:
    """The events of the record in `folder`, by name.

    Raises:
        BadDataError: the file is damaged.
    """
    return read_json(folder / EVENTS, made_by="train") if (folder / EVENTS).is_file() else {}


def grids_in(folder: Path) -> list[Path]:
    """The grids of samples of the record in `folder`, the earliest first."""
    return sorted((folder / SAMPLES).glob("step-*.png"))


def step_of(grid: Path) -> int:
    """The step of a grid of samples, from its name."""
    return int(grid.stem.removeprefix("step-"))


def _rows_in(folder: Path, kind: Path) -> list[dict[str, float]]:
    try:
        return read_history(folder / kind)
    except BadDataError as error:
        raise BadDataError(f"{error}; if it comes again, delete {folder} to start afresh") from error


def _line(row: Mapping[str, float]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"
