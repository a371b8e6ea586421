"""Samples encoded as one PNG grid, or as arrays for NumPy; equal samples give equal bytes."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan.system.errors import UsageError

GAP = 2
"""Pixels between two digits and around the grid."""

NUM_DIGITS = 10


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Digits and what they were drawn from."""

    pixels: NDArray[np.uint8]
    """uint8 [N, 28, 28]: 0 background, 255 ink."""
    labels: NDArray[np.int64] | None
    """The digits asked for [N]; None if the model is unconditional."""
    seed: int
    truncation: float
    model_sha256: str
    num_classes: int = NUM_DIGITS
    """Of the model."""


Encoder = Callable[[Samples], bytes]


def encoder_of(path: Path) -> Encoder:
    """The encoder of the format that a file's name asks for.

    Raises:
        UsageError: the name ends otherwise than in .png, .npy or .npz.
    """
    try:
        return _ENCODERS[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"{path}: unknown kind of file; let its name end in .png, .npy or .npz") from None


def grid_columns(labels: NDArray[np.int64] | None, count: int, *, num_classes: int = NUM_DIGITS) -> int:
    """Columns of a grid of `count` digits: near-square; where all classes come in turn, each keeps to its columns."""
    side = math.sqrt(count)
    in_turn = labels is not None and np.array_equal(labels, np.arange(count) % num_classes)
    columns = num_classes * max(1, round(side / num_classes)) if in_turn else math.ceil(side)
    return min(columns, count)


def to_grid(pixels: NDArray[np.uint8], *, columns: int) -> NDArray[np.uint8]:
    """Pixels uint8 [N, 28, 28] laid out row by row on black, uint8 [height, width]."""
    count, height, width = pixels.shape
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height + GAP, width + GAP), np.uint8)
    cells[:count, GAP:, GAP:] = pixels
    # [rows, columns, height, width] → [rows, height, columns, width]
    grid = cells.reshape(rows, columns, height + GAP, width + GAP).swapaxes(1, 2)
    return np.pad(grid.reshape(rows * (height + GAP), columns * (width + GAP)), ((0, GAP), (0, GAP)))


def encode_png(samples: Samples) -> bytes:
    """One grid of all digits as an 8-bit grey PNG, whose text entries tell what they were drawn from."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    columns = grid_columns(samples.labels, len(samples.pixels), num_classes=samples.num_classes)
    grid = to_grid(samples.pixels, columns=columns)
    file, text = io.BytesIO(), PngInfo()
    for name, value in _origin(samples).items():
        text.add_text(name, value)
    Image.fromarray(grid).save(file, format="PNG", pnginfo=text)
    return file.getvalue()


def encode_npy(samples: Samples) -> bytes:
    """The pixels uint8 [N, 28, 28] as a .npy file."""
    file = io.BytesIO()
    np.save(file, samples.pixels)
    return file.getvalue()


def encode_npz(samples: Samples) -> bytes:
    """A .npz file of `images` uint8 [N, 28, 28], `labels` if there are, seed, truncation and model_sha256."""
    arrays: dict[str, Any] = {"images": samples.pixels}
    if samples.labels is not None:
        arrays["labels"] = samples.labels
    arrays |= {"seed": samples.seed, "truncation": samples.truncation, "model_sha256": samples.model_sha256}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _origin(samples: Samples) -> dict[str, str]:
    """All that is needed to draw the same samples again."""
    digits = {} if samples.labels is None else {"digits": " ".join(map(str, _repeated_part(samples.labels)))}
    truncation = f"{samples.truncation:g}"
    return {"seed": str(samples.seed), **digits, "truncation": truncation, "model_sha256": samples.model_sha256}


def _repeated_part(labels: NDArray[np.int64]) -> list[int]:
    """The shortest start of `labels` that, taken in turn, gives all of them."""
    for length in range(1, len(labels)):
        if np.array_equal(labels[length:], labels[:-length]):
            return [int(label) for label in labels[:length]]
    return [int(label) for label in labels]


_ENCODERS: dict[str, Encoder] = {".png": encode_png, ".npy": encode_npy, ".npz": encode_npz}
