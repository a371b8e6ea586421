"""Ways to damage a file, and a pickle that runs code."""

import os
from pathlib import Path


class Evil:
    """Runs a command when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def flipped(content: bytes, bit: int) -> bytes:
    """The bytes with one bit changed; bits are counted from the lowest of the first byte."""
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def flip_bit(path: Path, position: int) -> None:
    """Flip the lowest bit of the byte at `position`."""
    path.write_bytes(flipped(path.read_bytes(), 8 * position))
