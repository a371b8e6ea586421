"""Lock files, which the kernel releases when their holder ends, however it ends."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from dcgan.system.errors import BusyError
from dcgan.system.files import storage_error

_HAS_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL}
"""What flock says on network file systems that lack it, as Lustre's and NFS's without their lock service."""
_MARKER = ".held"
_MARKER_SECONDS = 0.5
"""What taking over the marker of a killed process may take."""


@contextmanager
def exclusive(path: Path, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path`, into which the holder's pid is written.

    Where the file system has no locks, a marker beside it stands for the lock; that of a process that was killed on
    this machine is taken over.

    Raises:
        BusyError: another process holds it, and still does after `wait_seconds`; the message has the pid.
        CannotCreateError, StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquire(path, wait_seconds=wait_seconds)
        path.write_text(str(os.getpid()))
    except Timeout as refused:
        held = Path(refused.lock_file)
        advice = f", or delete {held} if it was on another machine and is gone" if held != path else ""
        raise BusyError(f"{path}: locked by pid {_pid_in(held)}; wait until it ends, or stop it{advice}") from None
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
    try:
        _acquire(path).release()
    except Timeout as refused:
        return _pid_in(Path(refused.lock_file))
    return None


def _acquire(path: Path, *, wait_seconds: float = 0.0) -> BaseFileLock:
    """The lock, held; Timeout names the file that another process holds."""
    lock: BaseFileLock = FileLock(path, timeout=wait_seconds, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in _HAS_NO_LOCKS or isinstance(error, Timeout):
            raise
        lock = SoftFileLock(f"{path}{_MARKER}", timeout=max(wait_seconds, _MARKER_SECONDS))
        lock.acquire()
    return lock


def _pid_in(path: Path) -> str:
    lines = path.read_text(errors="replace").split()
    return lines[0] if lines else "unknown"
