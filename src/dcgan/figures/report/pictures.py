"""Pictures inside a page: PNG files as data URIs, with their alternative texts."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dcgan.system.advice import repair, run
from dcgan.system.errors import BadDataError

GRID_SCALE = 2
"""How many times the grids of the stages `train` and `evaluate` are enlarged; a browser can do that itself."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture for a page."""

    source: str
    """A data URI."""
    width: int
    height: int
    alt: str
    """What it shows, for those who cannot see it."""
    caption: str
    is_grid: bool = False
    """Whether its pixels are those of images, which a browser is to enlarge without smoothing."""


def load_picture(path: Path, *, made_by: str, alt: str, caption: str) -> Picture:
    """The chart in a PNG file of the stage `made_by`; BadDataError if it is missing or damaged."""
    return _picture(_open(path, made_by=made_by), alt=alt, caption=caption)


def load_grid(path: Path, *, made_by: str, alt: str, caption: str) -> Picture:
    """The grid of images in a PNG file, in its own pixels; BadDataError if it is missing or damaged."""
    image = _open(path, made_by=made_by)
    size = image.width // GRID_SCALE, image.height // GRID_SCALE
    return _picture(image.resize(size, Image.Resampling.NEAREST), alt=alt, caption=caption, is_grid=True)


def grid(pixels: NDArray[np.uint8], *, alt: str, caption: str) -> Picture:
    """A grid of images uint8 [height, width]."""
    return _picture(Image.fromarray(pixels), alt=alt, caption=caption, is_grid=True)


def chart(figure: Figure, *, alt: str, caption: str) -> Picture:
    """A figure of matplotlib's."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    with Image.open(content) as image:
        return _picture(image.convert("RGB"), alt=alt, caption=caption)


def _open(path: Path, *, made_by: str) -> Image.Image:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            return image.convert("L" if image.mode == "L" else "RGB")
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {run(made_by)}") from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on damaged files
        raise BadDataError(f"{path}: not a readable PNG ({error}); {repair(made_by)}") from error


def _picture(image: Image.Image, *, alt: str, caption: str, is_grid: bool = False) -> Picture:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return Picture(
        source=f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}",
        width=image.width,
        height=image.height,
        alt=alt,
        caption=caption,
        is_grid=is_grid,
    )
