"""Packed files: gzip as published, and what people pack the same content with."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
OPENERS: dict[bytes, Callable[..., Any]] = {GZIP: gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""By the first bytes of a file."""
LEVEL = 6
"""Gzip's own default: higher ones take five times as long for two per cent."""
MAX_OVERHEAD = 2**16
"""Bytes by which packing may make a file larger: header, name, and what cannot be packed."""
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


def pack(content: bytes) -> bytes:
    """The bytes packed by gzip; equal ones give equal ones."""
    return gzip.compress(content, LEVEL, mtime=0)


def contents(packed: bytes, *, size: int) -> Iterator[bytes]:
    """What a file may hold that should have `size` bytes unpacked, each cut off after one more; damage holds nothing.

    A file that is not packed holds itself, a zip archive its members of that size.
    """
    try:
        if packed.startswith(ZIP):
            yield from _members(packed, size=size)
            return
        opener = next((opener for magic, opener in OPENERS.items() if packed.startswith(magic)), None)
        if opener is None:
            yield packed
            return
        with opener(io.BytesIO(packed)) as file:
            yield file.read(size + 1)
    except DAMAGED:
        return


def may_hold(path: Path, *, size: int) -> bool:
    """Whether a file may hold `size` bytes, packed or not, by its own size and its first and last bytes."""
    try:
        if path.stat().st_size == size:
            return True
        if path.stat().st_size > size + MAX_OVERHEAD and path.suffix.lower() != ".zip":  # most files stay closed
            return False
        with path.open("rb") as file:
            start = file.read(6)
            if start.startswith(GZIP):
                file.seek(-4, os.SEEK_END)  # its last bytes are the size once unpacked
                return int.from_bytes(file.read(), "little") == size
            return start.startswith((ZIP, *OPENERS))
    except OSError:
        return False


def _members(archive: bytes, *, size: int) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for member in opened.infolist():
            if member.file_size == size:
                with opened.open(member) as file:
                    yield file.read(size + 1)
