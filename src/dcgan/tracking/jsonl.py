"""The tracker that needs no server: history.jsonl and one PNG a grid of samples, always written."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan.gan.tracker import is_kept
from dcgan.system.errors import BadDataError
from dcgan.system.files import storage_error, write_atomically, write_bytes
from dcgan.tracking.history import read_history

HISTORY, SAMPLES = "history.jsonl", "samples"
SCALE = 2
"""Grids are enlarged this many times, so that 28x28 digits can be read on a screen."""


class JsonlTracker:
    """Appends one row a report to `history.jsonl` and writes each grid to `samples/step-0000937.png`.

    Rows and grids of later steps than the one that training resumes from are dropped first: they will come again.
    """

    def __init__(self, folder: Path, *, resume_from_step: int, publish_to: Path | None = None) -> None:
        """Take up the history in `folder`.

        Args:
            folder: survives an interruption of the training.
            resume_from_step: of the checkpoint that training starts from; 0 starts afresh.
            publish_to: shows the same at all times; whatever other history it holds is replaced. For folders that DVC
                empties before the training.
        """
        self._folders = [folder] if publish_to is None else [folder, publish_to]
        self._files: list[TextIO] = []
        self.rewind(resume_from_step)

    def __enter__(self) -> Self:
        """Record while the block lasts."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the files."""
        self._close()

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Append one row; the operating system has it when this returns.

        Raises:
            StorageError: the disk is full or failed.
        """
        for file in self._files:
            try:
                file.write(_line({"step": step, **metrics}))
                file.flush()
            except OSError as error:
                raise storage_error(error, Path(file.name)) from error

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record nothing: the history of equal runs is equal."""

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Write one grid, uint8 [height, width], as a PNG of twice that size."""
        height, width = pixels.shape
        grid = Image.fromarray(pixels).resize((width * SCALE, height * SCALE), Image.Resampling.NEAREST)
        for each in self._folders:
            write_atomically(each / SAMPLES / f"step-{step:07d}.png", lambda file: grid.save(file, "PNG"))

    def log_event(self, name: str, text: str) -> None:
        """Record nothing: what an event is about is in the metrics."""

    def rewind(self, step: int) -> None:
        """Drop the later rows and grids.

        Raises:
            BadDataError: the history is damaged.
        """
        self._close()
        folder = self._folders[0]
        try:
            rows = read_history(folder / HISTORY)
        except BadDataError as error:
            raise BadDataError(f"{error}; if it comes again, delete {folder} to start afresh") from error
        kept = [row for row in rows if is_kept(int(row["step"]), rewound_to=step)]
        grids = {path.name: path.read_bytes() for path in _grids(folder) if is_kept(_step_of(path), rewound_to=step)}
        for each in self._folders:
            write_bytes(each / HISTORY, "".join(map(_line, kept)).encode())
            for stale in _grids(each):
                if stale.name not in grids:
                    stale.unlink()
            for name, content in grids.items():
                write_bytes(each / SAMPLES / name, content)
        self._files = [(each / HISTORY).open("a", encoding="utf-8") for each in self._folders]

    def _close(self) -> None:
        for file in self._files:
            with suppress(OSError):  # every row was flushed: what a full disk refuses now, it has refused before
                file.close()


def _line(row: Mapping[str, float]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _grids(folder: Path) -> list[Path]:
    return sorted((folder / SAMPLES).glob("step-*.png"))


def _step_of(grid: Path) -> int:
    return int(grid.stem.removeprefix("step-"))
