"""Images in arrays of the user's own: the four IDX files of MNIST's names, packed or not, or one .npz."""

import gzip
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.files.packing import GZIP
from dcgan.data.files.pictures import MAX_IMAGES, ONE_CLASS, Split
from dcgan.system.errors import BadDataError

IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
KEYS = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
"""Of a .npz, as Keras has them."""
UNSIGNED_BYTE = 8
MAX_LABEL = 255


def idx_files_in(folder: Path) -> dict[str, Path]:
    """The IDX files in a folder by their plain names."""
    names = [name for pair in IDX_NAMES.values() for name in pair]
    return {
        name: folder / f"{name}{end}" for name in names for end in ("", ".gz") if (folder / f"{name}{end}").exists()
    }


def read_idx_files(folder: Path) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits in the IDX files of a folder, and names for their labels; the test split may be missing.

    Raises:
        BadDataError: a file is missing or damaged, or holds something else.
    """
    found, splits = idx_files_in(folder), {}
    for split, pair in IDX_NAMES.items():
        if split == "test" and not any(name in found for name in pair):
            continue
        for name in pair:
            if name not in found:
                raise BadDataError(
                    f"{folder / name}: missing, beside {', '.join(sorted(found))}; add it, packed or not"
                )
        images, labels = (_read_idx(found[name]) for name in pair)
        splits[split] = _split(images, labels, of=found[pair[0]])
    return splits, _numbered(splits)


def read_npz(path: Path) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits in a .npz of `x_train`, `y_train` and perhaps `x_test`, `y_test`, or of `images` and perhaps `labels`.

    Raises:
        BadDataError: it is damaged or holds something else.
    """
    keys = [key for pair in KEYS.values() for key in pair] + ["images", "labels"]
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {each.filename.removesuffix(".npy"): each.file_size for each in archive.infolist()}
        if large := [key for key in keys if sizes.get(key, 0) > (MAX_IMAGES + 1) * IMAGE_SIZE**2]:
            raise BadDataError(f"{path}: {large[0]} is larger than the {MAX_IMAGES:,} images that can be taken")
        with np.load(path) as content:
            arrays = {key: content[key] for key in keys if key in sizes}
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise BadDataError(f"{path}: not a .npz that can be read ({' '.join(str(error).split())})") from error
    if "images" in arrays:
        labels = arrays.get("labels", np.zeros(len(arrays["images"]), np.int64))
        splits = {"train": _split(arrays["images"], labels, of=path)}
        return splits, _numbered(splits) if "labels" in arrays else (ONE_CLASS,)
    splits = {
        split: _split(*(arrays[key] for key in pair), of=path)
        for split, pair in KEYS.items()
        if all(key in arrays for key in pair)
    }
    if "train" not in splits:
        raise BadDataError(
            f"{path}: holds {', '.join(sorted(sizes)[:6]) or 'nothing'}; x_train and y_train, or images, are needed"
        )
    return splits, _numbered(splits)


def _split(images: NDArray[Any], labels: NDArray[Any], *, of: Path) -> Split:
    """Both arrays, if they are images of 28x28 bytes and as many labels."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    shape = (IMAGE_SIZE, IMAGE_SIZE)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != shape:
        found = f"{images.dtype} of shape {list(images.shape)}"
        raise BadDataError(
            f"{of}: images are {found}; uint8 of shape [N, 28, 28], 0 to 255, is needed: images are 28x28"
        )
    if len(images) > MAX_IMAGES:
        raise BadDataError(f"{of}: holds {len(images):,} images, more than the {MAX_IMAGES:,} that can be taken")
    flat = labels.reshape(len(labels), -1)[:, 0] if labels.size == len(labels) else labels
    if flat.dtype.kind not in "iu" or flat.ndim != 1 or len(flat) != len(images):
        found = f"{labels.dtype} of shape {list(labels.shape)}"
        raise BadDataError(
            f"{of}: labels are {found}; whole numbers, one for each of {len(images):,} images, are needed"
        )
    wrong = flat[(flat < 0) | (flat > MAX_LABEL)]
    if wrong.size:
        raise BadDataError(f"{of}: the label {wrong[0]} is out of range; classes are numbered from 0")
    return images, flat.astype(np.int64)


def _numbered(splits: dict[str, Split]) -> tuple[str, ...]:
    """Names of classes that have numbers only."""
    return tuple(map(str, range(1 + max((int(labels.max(initial=-1)) for _, labels in splits.values()), default=-1))))


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes, packed by gzip or not, of as many images or labels as can be taken."""
    try:
        with path.open("rb") as plain:
            is_packed = plain.read(2) == GZIP
        with gzip.open(path) if is_packed else path.open("rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != bytes((0, 0, UNSIGNED_BYTE)) or start[3] not in (1, 3):
                raise BadDataError(f"{path}: not an IDX file of bytes: it starts with 0x{start.hex()}")
            shape = struct.unpack(f">{start[3]}I", file.read(4 * start[3]))
            if shape[0] > MAX_IMAGES or shape[1:] not in ((), (IMAGE_SIZE, IMAGE_SIZE)):
                sizes = " x ".join(f"{size:,}" for size in shape)
                raise BadDataError(f"{path}: holds {sizes}; images are 28x28, and at most {MAX_IMAGES:,} can be taken")
            content = file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise BadDataError(f"{path}: cannot be read ({error}); is it whole?") from error
    if len(content) != math.prod(shape):
        raise BadDataError(f"{path}: {len(content):,} bytes after its header, which tells of {math.prod(shape):,}")
    return np.frombuffer(content, np.uint8).reshape(shape)
