"""Lock files, which the kernel releases when their holder ends, however it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dcgan.system.errors import BusyError
from dcgan.system.files import storage_error


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, into which the holder's pid is written.

    Raises:
        BusyError: another process holds it; the message has the pid.
        CannotCreateError, StorageError: it cannot be written.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        path.write_text(str(os.getpid()))
    except Timeout:
        raise BusyError(f"{path}: locked by pid {_pid_in(path)}; wait until it ends, or stop it") from None
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        yield
    finally:
        lock.release()


def holder_of(path: Path) -> str | None:
    """The pid in the lock file `path` if a process holds it; "unknown" if it says none; None if it is free."""
    if not path.is_file():
        return None
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return _pid_in(path)
    lock.release()
    return None


def _pid_in(path: Path) -> str:
    return path.read_text(errors="replace").strip() or "unknown"
