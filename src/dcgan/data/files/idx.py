"""The IDX format of the MNIST files: a gzip-packed header with the shape, then one unsigned byte per value."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.files.packing import GZIP, pack
from dcgan.system.advice import repair, run
from dcgan.system.errors import BadDataError
from dcgan.system.files import write_bytes

UNSIGNED_BYTE = 8
REPAIR = repair("download")


def read_idx(path: Path, *, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array in a gzip-packed IDX file, which must have exactly `shape`.

    Never unpacks more than `shape` needs, whatever the file claims or holds.

    Raises:
        BadDataError: the file is missing, not gzip, damaged, or holds something else; the message has both shapes.
    """
    header, expected = _header(shape), idx_size(shape)
    content = _unpack(path, at_most=expected + 1)
    if content[:4] != header[:4]:
        raise _bad(path, f"IDX magic 0x{header[:4].hex()}", f"0x{content[:4].hex()}")
    if content[: len(header)] != header:
        raise _bad(path, f"shape {_shown(shape)}", _shown(_shape_of(content, dimensions=len(shape))))
    if len(content) != expected:
        found = "more" if len(content) > expected else f"{len(content):,}"
        raise _bad(path, f"{expected:,} bytes once unpacked", found)
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def read_any_idx(path: Path, *, at_most: int) -> NDArray[np.uint8]:
    """The array in an IDX file, packed by gzip or not, of at most so many labels, [N], or images, [N, 28, 28].

    Raises:
        BadDataError: the file is missing, damaged, or holds something else.
    """
    try:
        with path.open("rb") as plain:
            is_packed = plain.read(2) == GZIP
        with gzip.open(path) if is_packed else path.open("rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != bytes((0, 0, UNSIGNED_BYTE)) or start[3] not in (1, 3):
                raise BadDataError(f"{path}: not an IDX file of bytes: it starts with 0x{start.hex()}")
            shape = struct.unpack(f">{start[3]}I", file.read(4 * start[3]))
            if shape[0] > at_most or shape[1:] not in ((), (IMAGE_SIZE, IMAGE_SIZE)):
                sizes = " x ".join(f"{size:,}" for size in shape)
                raise BadDataError(f"{path}: holds {sizes}; images are 28x28, and at most {at_most:,} can be taken")
            content = file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise BadDataError(f"{path}: cannot be read ({error}); is it whole?") from error
    if len(content) != math.prod(shape):
        raise BadDataError(f"{path}: {len(content):,} bytes after its header, which tells of {math.prod(shape):,}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a gzip-packed IDX file, atomically; equal arrays give equal bytes."""
    write_bytes(path, pack(_header(array.shape) + array.tobytes()))


def idx_shape(path: Path, *, dimensions: int) -> tuple[int, ...]:
    """The shape that the header of a gzip-packed IDX file of so many dimensions tells.

    Raises:
        BadDataError: as `read_idx`.
    """
    content = _unpack(path, at_most=4 + 4 * dimensions)
    magic = _header((0,) * dimensions)[:4]
    if content[:4] != magic or len(content) < 4 + 4 * dimensions:
        raise _bad(path, f"IDX magic 0x{magic.hex()}", f"0x{content[:4].hex()}")
    return _shape_of(content, dimensions=dimensions)


def idx_size(shape: tuple[int, ...]) -> int:
    """Bytes of an unpacked IDX file."""
    return len(_header(shape)) + math.prod(shape)


def _header(shape: tuple[int, ...]) -> bytes:
    """Two zero bytes, the type, the number of dimensions, then each dimension as a big-endian 32-bit integer."""
    return struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)


def _shape_of(content: bytes, *, dimensions: int) -> tuple[int, ...]:
    whole = content[4 : 4 + 4 * dimensions]
    return struct.unpack(f">{len(whole) // 4}I", whole[: len(whole) // 4 * 4])


def _unpack(path: Path, *, at_most: int) -> bytes:
    """The first `at_most` bytes of the unpacked file; reading to its end also checks the CRC."""
    try:
        with gzip.open(path) as file:
            return file.read(at_most)
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {run('download')}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        found = f"{path.stat().st_size:,} bytes that do not unpack ({error})"
        raise _bad(path, "a whole gzip file", found) from error


def _bad(path: Path, expected: str, found: str) -> BadDataError:
    return BadDataError(f"{path}: expected {expected}, found {found}; {REPAIR}")


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape)
