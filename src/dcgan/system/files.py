"""Files that are either whole or absent, and the hashes that prove it."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dcgan.system.advice import repair, run
from dcgan.system.errors import BadDataError, CannotCreateError, DcganError, StorageError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ENTRY = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
}
_NOT_OFFERED = {errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK}
"""What a file system says of what it cannot do at all; many network shares cannot do everything."""

LEFTOVER_AGE_S = 3600.0
"""Since the last byte was written to a temporary file; then the process that wrote it counts as killed."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Create or replace `path` with what `write` puts into the open file; on any failure `path` is as it was.

    The bytes go to a temporary file beside `path`, which is fsynced and renamed; then the folder is fsynced. Where the
    file system cannot fsync, the rename alone has to do.

    Raises:
        CannotCreateError: the folder is missing, read-only or not a folder.
        StorageError: the disk is full or failed.
        OSError: raised by `write` about another file, which it reads.
    """
    # The tempfile module would make it unreadable for other users, and two containers can share a pid.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            _fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        if error.filename in {None, str(temporary)} or path.is_relative_to(str(error.filename)):
            raise storage_error(error, path) from error
        raise
    finally:
        _unlink_quietly(temporary)


def write_bytes(path: Path, content: bytes) -> None:
    """Create or replace `path` with `content`, atomically."""
    try:
        write_atomically(path, lambda file: file.write(content))
    except StorageError as error:
        raise StorageError(f"{error} (it takes {len(content):,} bytes)") from error


def require_writable(*folders: Path) -> None:
    """Create the folders where they are missing, and try whether a file can be written there, before work is lost.

    Raises:
        CannotCreateError: a folder cannot be created, or nothing can be written there.
        StorageError: the disk is full or failed.
    """
    for folder in folders:
        trial = folder / ".writable"
        write_bytes(trial, b"")
        _unlink_quietly(trial)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of killed processes: those older than any write takes, for others may be in use."""
    oldest = time.time() - LEFTOVER_AGE_S
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):  # it was renamed or deleted meanwhile, or is not ours to delete
            if path.stat().st_mtime < oldest:
                path.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Create or replace `path` with `content` as indented JSON in the given key order, atomically.

    Raises:
        ValueError: a number is not finite.
    """
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, *, made_by: str) -> dict[str, Any]:
    """The object in a JSON file that the stage `made_by` wrote.

    Raises:
        BadDataError: the file is missing or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {run(made_by)}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise BadDataError(f"{path}: not valid JSON ({error}); {repair(made_by)}") from error
    if not isinstance(content, dict):
        raise BadDataError(f"{path}: not a JSON object; {repair(made_by)}")
    return content


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def storage_error(error: OSError, path: Path) -> DcganError:
    """The project's error for an operating-system error met while writing `path`."""
    if error.errno in _NO_ROOM:
        return StorageError(f"{path}: no space left on the device; free some and run again")
    if error.errno in _NO_ENTRY:
        reason = error.strerror or str(error)
        return CannotCreateError(f"{path}: cannot be written ({reason}); check the folder and its permissions")
    if error.errno in _NOT_OFFERED:
        return StorageError(f"{path}: its file system cannot do this ({error.strerror}); work on a local disk")
    return StorageError(f"{path}: writing failed ({error.strerror or error}); check the disk")


def _fsync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write into it, but not list it
        return
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # EBADF: Windows shares want a folder open for writing, which it cannot be.
        if error.errno not in {*_NOT_OFFERED, errno.EBADF}:
            raise


def _unlink_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):  # a missing or read-only folder has been reported by the caller
        path.unlink(missing_ok=True)
