"""Named points of saving, at which a process kills itself: planted by tests, nothing in the code knows of them.

A point is reached many times in a run; `plant("after_rename", 3)` kills at the fourth time. `count()` kills nothing and
writes, at the end, how often each point was reached.
"""

import json
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

POINTS = (
    "after_open",
    "half_written",
    "before_fsync",
    "after_fsync",
    "before_rename",
    "after_rename",
    "after_folder_fsync",
    "before_prune",
    "after_prune",
    "before_removal",
    "during_removal",
)
"""Of a temporary file, of its renaming, of the deletion of an old file, and of a finished training's folder."""

Reached = Callable[[str], bool]
"""Told that a point is reached, it says whether the process is to die there; else it dies by itself."""


def plant(point: str, after: int) -> None:
    """Kill this process when `point` is reached for the time number `after`, counted from 0."""
    left = Counter({point: after})

    def is_time(reached: str) -> bool:
        if reached != point:
            return False
        left[point] -= 1
        return left[point] < 0

    _patch(is_time)


def count(path: str = "points.json") -> None:
    """Write to `path` how often each point is reached."""
    counts = Counter()

    def never(reached: str) -> bool:
        counts[reached] += 1
        return False

    _patch(never)
    run, end = os.path.abspath(path), os._exit  # noqa: PTH100 the path is wanted as it is now

    def write_and_end(code: int) -> None:
        Path(run).write_text(json.dumps(counts))
        end(code)

    os._exit = write_and_end


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _patch(is_time: Reached) -> None:
    """Let every way of our code to the disk ask at its points."""
    genuine_open, fsync, replace, unlink, rmtree = Path.open, os.fsync, Path.replace, Path.unlink, shutil.rmtree

    def at(point: str) -> None:
        if is_time(point):
            _die()

    def patched_open(self: Path, mode: str = "r", *args: object, **kwargs: object):
        file = genuine_open(self, mode, *args, **kwargs)
        if mode == "wb" and self.name.endswith(".tmp"):
            at("after_open")
            return HalfWriter(file, is_time)
        return file

    def patched_fsync(descriptor: int) -> None:
        is_folder = os.path.isdir(f"/proc/self/fd/{descriptor}")  # noqa: PTH112 of a link
        if not is_folder:
            at("before_fsync")
        fsync(descriptor)
        at("after_folder_fsync" if is_folder else "after_fsync")

    def patched_replace(self: Path, target: Path) -> Path:
        at("before_rename")
        replaced = replace(self, target)
        at("after_rename")
        return replaced

    def patched_unlink(self: Path, *, missing_ok: bool = False) -> None:
        is_old = self.suffix == ".safetensors"
        if is_old:
            at("before_prune")
        unlink(self, missing_ok=missing_ok)
        if is_old:
            at("after_prune")

    def patched_rmtree(path: Path) -> None:
        at("before_removal")
        files = [file for file in path.rglob("*") if file.is_file()]
        for file in random.sample(files, len(files)):  # as the file system has them: in any order
            at("during_removal")
            unlink(file)
        rmtree(path)

    Path.open, os.fsync, Path.replace, Path.unlink = patched_open, patched_fsync, patched_replace, patched_unlink
    shutil.rmtree = patched_rmtree


class HalfWriter:
    """A file that asks, before it writes anything, whether to write half of it and die."""

    def __init__(self, file: object, is_time: Reached) -> None:
        self._file, self._is_time = file, is_time

    def write(self, content: bytes) -> int:
        if self._is_time("half_written"):
            self._file.write(content[: len(content) // 2])
            self._file.flush()
            _die()
        return self._file.write(content)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def __enter__(self) -> "HalfWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
