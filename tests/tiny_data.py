"""A made-up data set of a few images in MNIST's four files, for tests of everything that reads data."""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dcgan.data.files import ARRAYS, DataFile
from dcgan.data.files.idx import write_idx
from dcgan.data.specs import DataFacts, SplitFacts

NAMES = dict(
    zip(
        ARRAYS,
        (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
        ),
        strict=True,
    )
)


def tiny_arrays(*, per_class: int = 4) -> dict[str, np.ndarray]:
    """Digit d is a bright bar as wide as 4 + d on noise, `per_class` times in each split; all images differ."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test"):
        labels = np.tile(np.arange(10, dtype=np.uint8), per_class)
        images = np.zeros((len(labels), 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[10:18, 5 : 9 + label] = rng.integers(100, 256, (8, 4 + label))
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays


def tiny_facts(*, per_class: int = 4, max_shared: int = 0) -> DataFacts:
    """What holds for `tiny_arrays`."""
    split = SplitFacts(class_counts=(per_class,) * 10, mean=(0.05, 0.08), std=(0.15, 0.25))
    images = {"ink_min": (0, 0), "ink_share": (0.04, 0.14), "box_height": (8, 8), "box_width": (4, 13)}
    return DataFacts(train=split, test=split, images=images, max_shared=max_shared, min_distinct=1)


def write_files(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays as the four IDX files."""
    for key, name in NAMES.items():
        write_idx(folder / name, arrays[key])


def files_with_hashes(folder: Path, arrays: Mapping[str, np.ndarray]) -> tuple[DataFile, ...]:
    """The description of what `write_files` wrote, as `files_of` describes a real data set."""
    files = []
    for key, name in NAMES.items():
        content = (folder / name).read_bytes()
        packed, unpacked = (hashlib.sha256(each).hexdigest() for each in (content, gzip.decompress(content)))
        files.append(DataFile(name, arrays[key].shape, f"sha256:{packed}", len(content), unpacked))
    return tuple(files)
