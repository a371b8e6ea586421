"""scikit-learn's embedded handwritten digits as the four files of an MNIST-like data set; needs no network."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.files.idx import write_idx

INK_SIZE = 20
TEST_EVERY = 5


def write_digits(folder: Path) -> list[Path]:
    """Write 1,442 training and 355 test images with their labels as IDX files; returns their paths.

    Every fifth image of each class is for testing. Equal library versions write equal bytes.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.stack([_as_mnist(pixels) for pixels in digits.images])
    labels = digits.target.astype(np.uint8)
    is_test = every_nth_of_its_class(labels, TEST_EVERY)
    arrays = {
        "train-images-idx3-ubyte.gz": images[~is_test],
        "train-labels-idx1-ubyte.gz": labels[~is_test],
        "t10k-images-idx3-ubyte.gz": images[is_test],
        "t10k-labels-idx1-ubyte.gz": labels[is_test],
    }
    for name, array in arrays.items():
        write_idx(folder / name, array)
    return [folder / name for name in arrays]


def _as_mnist(pixels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An 8x8 image with values 0..16, scaled to 20x20 and its centre of mass put in the middle of 28x28."""
    small = Image.fromarray((pixels * (255 / 16)).round().astype(np.uint8))
    ink = np.asarray(small.resize((INK_SIZE, INK_SIZE), Image.Resampling.BICUBIC))
    top, left = (_margin_before(ink.sum(axis=axis, dtype=np.float64)) for axis in (1, 0))
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    image[top : top + INK_SIZE, left : left + INK_SIZE] = ink
    return image


def _margin_before(profile: NDArray[np.float64]) -> int:
    """Empty rows (or columns) that bring the profile's centre of mass to the middle, as far as the image allows."""
    centre = float(profile @ np.arange(INK_SIZE) / profile.sum())
    return int(np.clip(round(IMAGE_SIZE / 2 - centre), 0, IMAGE_SIZE - INK_SIZE))


def every_nth_of_its_class(labels: NDArray[Any], n: int) -> NDArray[np.bool_]:
    """True at the n-th, 2n-th, … image of each class."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[n - 1 :: n]] = True
    return chosen
