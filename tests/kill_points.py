"""Named points of saving, at which a process kills itself: planted by tests, nothing in the code knows of them.

A point is reached many times in a run; `plant("after_rename", 3)` kills at the fourth time. `plant()` kills nothing.
Either writes the name of every point that is reached to points.txt.
"""

import os
import random
import shutil
import signal
from collections import Counter
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


def plant(deadly: str = "", after: int = 0) -> None:
    """Let every way of our code to the disk tell its points, and kill this process at `deadly` after so many times."""
    genuine_open, fsync, replace, unlink, rmtree = Path.open, os.fsync, Path.replace, Path.unlink, shutil.rmtree
    log, reached = Path("points.txt").absolute(), Counter()

    def at(point: str, *, halving: int | None = None) -> None:
        with genuine_open(log, "a") as file:
            file.write(f"{point}\n")
        reached[point] += 1
        if point == deadly and reached[point] > after:
            if halving is not None:
                os.ftruncate(halving, os.fstat(halving).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def patched_open(self: Path, mode: str = "r", *args: object, **kwargs: object):
        file = genuine_open(self, mode, *args, **kwargs)
        if mode == "wb" and self.name.endswith(".tmp"):
            at("after_open")
        return file

    def patched_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.endswith(".tmp"):
            at("half_written", halving=descriptor)
        if not path.is_dir():
            at("before_fsync")
        fsync(descriptor)
        at("after_folder_fsync" if path.is_dir() else "after_fsync")

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
