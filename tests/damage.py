"""Ways to damage a file, and a pickle that runs code."""

import os
from pathlib import Path


class Evil:
    """Runs a command when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def flip_bit(path: Path, position: int) -> None:
    """Flip the lowest bit of the byte at `position`."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
