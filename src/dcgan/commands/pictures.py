"""Pictures from any tool as images: what is unambiguous is converted, and told; the rest is refused with a way out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.batches import to_images
from dcgan.system.errors import BadDataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Of Pillow, for one channel of more than 8 bits."""
WHITE = 192
"""Paper is at least as bright, ink is darker: 0 to 255."""
ROUNDING = 4
"""By which channels and values that are meant to be equal may differ: JPEG rounds them."""
PAPER_SHARE = 0.9
"""Of the outermost pixels that are bright in a picture of dark ink on paper."""

SHAPE = (IMAGE_SIZE, IMAGE_SIZE)
WANTED = f"{IMAGE_SIZE}x{IMAGE_SIZE} pixels in grey are needed; the option --convert makes them"

Pixels = NDArray[np.uint8]


class _UnknownRangeError(ValueError):
    """Nobody but the author knows which value is black and which is white."""


def pictures_in(sources: Sequence[Path]) -> list[Path]:
    """The pictures named, and those in the folders named, in order."""
    paths: list[Path] = []
    for source in sources:
        if not source.exists():
            raise BadDataError(f"{source}: missing; name a picture or a folder of them")
        found = sorted(source.iterdir()) if source.is_dir() else []
        inside = [path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
        if source.is_dir() and not inside:
            raise BadDataError(f"{source}: holds no picture ({', '.join(SUFFIXES)})")
        paths += inside or [source]
    return paths


def read_picture(path: Path, *, convert: bool = False) -> torch.Tensor:
    """A picture as an image float32 [1, 28, 28] in [-1, 1]; prints how it was converted, if it was.

    With `convert`, colours become grey, what is transparent black, and any size 28x28.

    Raises:
        BadDataError: it is no picture; or, without `convert`, not 28x28, coloured, or ambiguous.
    """
    try:
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            picture.load()
            pixels, changes = _grey(ImageOps.exif_transpose(picture), convert=convert)
        if frames > 1 and not convert:
            raise ValueError(f"has {frames} frames")
        if pixels.shape != SHAPE and not convert:
            raise ValueError(f"has {pixels.shape[1]}x{pixels.shape[0]} pixels")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadDataError(f"{path}: not a picture that can be read ({error})") from error
    except _UnknownRangeError as error:
        raise BadDataError(f"{path}: {error}") from error
    except ValueError as error:
        raise BadDataError(f"{path}: {error}; {WANTED}") from error
    if _is_dark_on_light(pixels):
        pixels, changes = 255 - pixels, [*changes, "dark ink on light, inverted"]
    if pixels.shape != SHAPE:
        size = f"scaled from {pixels.shape[1]}x{pixels.shape[0]} pixels"
        pixels, changes = np.asarray(ImageOps.pad(Image.fromarray(pixels), SHAPE)), [*changes, size]
    if changes:
        print(f"note: {path}: {'; '.join(changes)}")
    return to_images(torch.from_numpy(pixels.copy()).unsqueeze(0))[0]


def _grey(picture: Image.Image, *, convert: bool) -> tuple[Pixels, list[str]]:
    """The picture's pixels uint8 [height, width], and what was done to get them; ValueError if they are ambiguous."""
    if picture.mode in DEEP_MODES:
        return _eight_bits(np.asarray(picture).astype(np.int64))
    if picture.mode == "F":
        raise _UnknownRangeError("has floating-point pixels, whose range is unknown; save it with 8 bits")
    *colours, alpha = np.moveaxis(np.asarray(picture.convert("RGBA")).astype(np.int16), 2, 0)
    visible, grey = alpha > 0, np.asarray(picture.convert("RGB").convert("L"))
    has_colours = bool((np.ptp(np.stack(colours), axis=0)[visible] > ROUNDING).any())
    if has_colours and not convert:
        raise ValueError("has colours")
    changes = ["colours made grey"] if has_colours else []
    if (alpha == 255).all():
        return grey, changes
    if visible.any() and np.ptp(grey[visible]) <= ROUNDING:
        return alpha.astype(np.uint8), [*changes, "opaque pixels taken as ink"]
    if not convert:
        raise ValueError("is partly transparent")
    return np.round(grey * (alpha / 255)).astype(np.uint8), [*changes, "transparency made black"]


def _eight_bits(values: NDArray[np.int64]) -> tuple[Pixels, list[str]]:
    """16-bit values as 8-bit ones; some tools put 8-bit values into 16 bits as they are."""
    if values.min() < 0 or values.max() > 65_535:
        raise _UnknownRangeError("has values outside 0 to 65,535; save it with 8 bits")
    if values.max() <= 255:
        return values.astype(np.uint8), ["16 bits of which it uses 8"]
    return np.round(values / 257).astype(np.uint8), ["16 bits, scaled to 8"]


def _is_dark_on_light(pixels: Pixels) -> bool:
    edge = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return bool((edge >= WHITE).mean() >= PAPER_SHARE and pixels.min() < edge.max() - 2 * ROUNDING)
