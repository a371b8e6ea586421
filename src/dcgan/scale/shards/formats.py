"""Shards as bytes: Parquet, WebDataset's tar and .npy; equal digits give equal bytes, and no format holds a time.

- Parquet: `image`, 784 bytes of fixed size, and `label`, int64. Readers get the pixels of a row group as one buffer,
  without decoding a PNG each; zstd keeps them smaller than PNG would.
- WebDataset: `000000000012.png` and `000000000012.cls` for each digit, named by its number in the whole set. The PNGs
  are stored, not deflated: of the 2 KB that tar takes for both files this costs a fifth more, deflating a tenth of the
  time, and zlib's bytes depend on its version.
- npy: records of `image` uint8 [28, 28] and `label` int64, which `numpy.load(path, mmap_mode="r")` maps.

A generator without labels leaves `label` and `.cls` out.
"""

import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dcgan.scale.shards.drawing import Block
from dcgan.scale.shards.plan import Format, ShardPlan
from dcgan.system.required import required

CACHED = 500
"""Digits whose PNGs stay in the processor's cache until they are written."""

Encoder = Callable[[BinaryIO, ShardPlan, int, Iterable[Block]], None]
"""Writes the blocks of the shard `index` of a plan into a file."""


def write_parquet(file: BinaryIO, plan: ShardPlan, index: int, blocks: Iterable[Block]) -> None:  # noqa: ARG001
    """One row group a block, with labels as a dictionary."""
    with required("Parquet", extra="scale"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    columns = [pa.field("image", pa.binary(784), nullable=False)]
    if plan.digits is not None:
        columns.append(pa.field("label", pa.int64(), nullable=False))
    schema = pa.schema(columns)
    options = {"compression": "zstd", "compression_level": 1, "use_dictionary": ["label"]}
    patient = _PatientFile(file)
    with pq.ParquetWriter(patient, schema, write_statistics=["label"], **options) as writer:
        for block in blocks:
            buffers = [None, pa.py_buffer(block.pixels)]
            arrays = [pa.FixedSizeBinaryArray.from_buffers(pa.binary(784), len(block.pixels), buffers)]
            arrays += [] if block.labels is None else [pa.array(block.labels)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            patient.raise_error()
    patient.raise_error()


class _PatientFile(io.RawIOBase):
    """A file that keeps its error until it is asked.

    Raised through pyarrow's C++, an error leaves Python's count of nested calls wrong: later ones fail anywhere.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, 0
        self._error: OSError | None = None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, content: Any, /) -> int:
        size = memoryview(content).nbytes
        try:
            if self._error is None:
                self._file.write(content)
        except OSError as error:
            self._error = error
        self._size += size
        return size

    def raise_error(self) -> None:
        """Raise the error that was met, if one was."""
        if self._error is not None:
            raise self._error


def write_npy(file: BinaryIO, plan: ShardPlan, index: int, blocks: Iterable[Block]) -> None:
    """One record a digit."""
    record = np.dtype([("image", "u1", (28, 28)), *([] if plan.digits is None else [("label", "<i8")])])
    header = {"descr": record.descr, "fortran_order": False, "shape": (len(plan.numbers(index)),)}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks:
        records = np.empty(len(block.pixels), record)
        records["image"] = block.pixels
        if block.labels is not None:
            records["label"] = block.labels
        file.write(records.tobytes())


def write_webdataset(file: BinaryIO, plan: ShardPlan, index: int, blocks: Iterable[Block]) -> None:  # noqa: ARG001
    """A POSIX tar archive, the members of each digit side by side."""
    size = 0
    for start, pixels, labels in blocks:
        for first in range(0, len(pixels), CACHED):
            chosen = slice(first, first + CACHED)
            members = [tar_members(start + first, ".png", encode_pngs(pixels[chosen]))]
            if labels is not None:
                members.append(tar_members(start + first, ".cls", [b"%d" % label for label in labels[chosen]]))
            size += file.write(np.concatenate(members, axis=1).tobytes())
    end = 2 * tarfile.BLOCKSIZE
    file.write(bytes(end + -(size + end) % tarfile.RECORDSIZE))


def tar_members(start: int, extension: str, contents: list[bytes]) -> NDArray[np.uint8]:
    """Members `NUMBER.extension` of a tar archive with these contents of at most 1,024 bytes, uint8 [N, bytes].

    The headers are those of `tarfile`, of which all but the name, the size and the checksum is the same. It would take
    29 µs for each, a fifth of the time in which a core draws a digit.
    """
    count, block = len(contents), tarfile.BLOCKSIZE
    width = -(-max(map(len, contents)) // block) * block
    header = tarfile.TarInfo(f"{0:012d}{extension}").tobuf(tarfile.USTAR_FORMAT)
    members = np.zeros((count, block + width), np.uint8)
    members[:, :block] = np.frombuffer(header, np.uint8)
    members[:, :12] = _digits(np.arange(start, start + count), 12, base=10)
    members[:, 124:135] = _digits(np.fromiter(map(len, contents), np.int64, count), 11, base=8)
    members[:, 148:156] = ord(" ")  # the checksum counts itself as spaces
    checksums = members[:, :block].sum(axis=1, dtype=np.int64)
    members[:, 148:154] = _digits(checksums, 6, base=8)
    members[:, 154] = 0
    padded = b"".join(content.ljust(width, b"\0") for content in contents)
    members[:, block:] = np.frombuffer(padded, np.uint8).reshape(count, width)
    return members


def encode_pngs(pixels: NDArray[np.uint8]) -> list[bytes]:
    """Pixels uint8 [N, 28, 28] as stored 8-bit grey PNGs, all of one size."""
    count, height, width = pixels.shape
    rows = np.zeros((count, height, 1 + width), np.uint8)  # each row begins with its filter: 0, none
    rows[:, :, 1:] = pixels
    length = height * (1 + width)
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    # RFC 1950 and 1951: a zlib stream of one stored block.
    head += struct.pack(">I", length + 11)
    stored = b"IDAT\x78\x01\x01" + struct.pack("<HH", length, 0xFFFF - length)
    before, tail, four = zlib.crc32(stored), _chunk(b"IEND", b""), struct.Struct(">I").pack
    pngs, content = [], rows.tobytes()
    for start in range(0, len(content), length):
        raw = content[start : start + length]
        adler = four(zlib.adler32(raw))
        crc = four(zlib.crc32(adler, zlib.crc32(raw, before)))
        pngs.append(b"".join((head, stored, raw, adler, crc, tail)))
    return pngs


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _digits(numbers: NDArray[Any], width: int, *, base: int) -> NDArray[np.uint8]:
    """Whole numbers [N] in ASCII with leading zeros, uint8 [N, width]."""
    powers = base ** np.arange(width - 1, -1, -1, dtype=np.int64)
    digits: NDArray[np.uint8] = (numbers[:, None] // powers % base + ord("0")).astype(np.uint8)
    return digits


ENCODERS: dict[Format, Encoder] = {"parquet": write_parquet, "webdataset": write_webdataset, "npy": write_npy}
