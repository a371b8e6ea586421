"""How many threads are worth starting: as many as this process may use cores, which are few in many containers."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

SYSTEM = Path("/")
"""Where /proc and /sys are."""


def default_threads() -> int:
    """How many threads compute where nothing else is asked for: OMP_NUM_THREADS if it is set, else the usable cores."""
    return chosen_threads() or usable_cores()


def chosen_threads() -> int | None:
    """What the user chose by OMP_NUM_THREADS; None if it is not set, or is no number."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(chosen) if chosen.isdecimal() and int(chosen) > 0 else None


def usable_cores() -> int:
    """The cores that affinity and cgroups leave; a part of a core counts as one, as in Go and Java."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([cores, *(max(1, math.ceil(quota)) for quota in _quotas())])


def _quotas() -> Iterator[float]:
    """The cores that each cgroup above this process, of version 1 or 2, may keep busy; unlimited ones are left out."""
    for folder in _cgroups():
        with suppress(OSError, ValueError, ZeroDivisionError):  # unlimited is no number; version 1 says -1
            quota, period = (folder / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:
                yield int(quota) / int(period)


def _cgroups() -> Iterator[Path]:
    """Where the cgroups that govern this process's CPU time may be.

    A container may see its own cgroup as the root while /proc names it as its host does: so all above are tried too.
    """
    with suppress(OSError, ValueError):
        for line in (SYSTEM / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", maxsplit=2)
            if not controllers or "cpu" in controllers.split(","):
                mounts = (controllers, "cpu") if controllers else ("", "unified")
                place = PurePosixPath(path.strip("/"))
                for mount in mounts:
                    yield from (SYSTEM / "sys/fs/cgroup" / mount / each for each in (place, *place.parents))
