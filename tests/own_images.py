"""Images of a user's own, drawn here: shapes as a folder of pictures, letters as arrays."""

import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dcgan.data.files.array_files import IDX_NAMES
from dcgan.data.files.idx import write_idx

Box = tuple[int, int, int, int]
SHAPES: dict[str, Callable[[ImageDraw.ImageDraw, Box, int], None]] = {
    "cross": lambda pen, box, ink: (
        pen.line([box[:2], box[2:]], ink, 3) or pen.line([(box[0], box[3]), (box[2], box[1])], ink, 3)
    ),
    "disc": lambda pen, box, ink: pen.ellipse(box, fill=ink),
    "ring": lambda pen, box, ink: pen.ellipse(box, outline=ink, width=3),
    "square": lambda pen, box, ink: pen.rectangle(box, fill=ink),
}


def shapes(name: str, count: int, *, seed: int = 0) -> np.ndarray:
    """Images uint8 [count, 28, 28] of a shape near the middle; all differ."""
    rng, images = np.random.default_rng([seed, *name.encode()]), []
    for _ in range(count):
        picture, (left, top, side) = Image.new("L", (28, 28)), rng.integers((5, 5, 12), (9, 9, 16))
        SHAPES[name](ImageDraw.Draw(picture), (left, top, left + side, top + side), 255)
        shade = rng.uniform(0.7, 1, (28, 28))
        images.append((np.asarray(picture) * shade).astype(np.uint8))
    return np.stack(images)


def write_shapes(folder: Path, *, per_class: int, names: tuple[str, ...] = tuple(SHAPES), seed: int = 0) -> Path:
    """A folder of PNG for each shape."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(shapes(name, per_class, seed=seed)):
            Image.fromarray(pixels).save(folder / name / f"{number:04}.png")
    return folder


def letters(per_class: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [26 * per_class, 28, 28] of the letters A to Z, shifted and turned a little, and their labels."""
    rng, font, images = np.random.default_rng(seed), ImageFont.load_default(20), []
    for letter in string.ascii_uppercase:
        for _ in range(per_class):
            picture = Image.new("L", (28, 28))
            ImageDraw.Draw(picture).text(tuple(rng.integers(12, 17, 2)), letter, 255, font, anchor="mm")
            turned = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
            images.append((np.asarray(turned) * rng.uniform(0.7, 1, (28, 28))).astype(np.uint8))
    return np.stack(images), np.arange(26).repeat(per_class).astype(np.uint8)


def write_letters(folder: Path, *, per_class: int) -> Path:
    """The letters as four IDX files of MNIST's names."""
    for split, count in {"train": per_class, "test": max(6, per_class // 6)}.items():
        arrays = letters(count, seed=len(split))
        for name, array in zip(IDX_NAMES[split], arrays, strict=True):
            write_idx(folder / f"{name}.gz", array)
    return folder
