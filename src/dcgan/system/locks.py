"""One trainer a workspace: a lock that the kernel releases when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcgan.system.errors import BusyError
from dcgan.system.files import storage_error


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, or raise BusyError naming the process that holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode() or "unknown"
            raise BusyError(f"{path}: locked by pid {holder}; wait until it ends, or stop it") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder_of(path: Path) -> str | None:
    """The pid of the process that holds the lock file `path`, as far as it is told; None where nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 20).decode().strip() or "unknown"
    finally:
        os.close(descriptor)
    return None
