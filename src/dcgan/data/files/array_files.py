"""Images in arrays of the user's own: the four IDX files of MNIST's names, packed or not, or one .npz."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.files.idx import read_any_idx
from dcgan.data.files.known import FILE_NAMES
from dcgan.data.files.pictures import MAX_IMAGES, ONE_CLASS, Split
from dcgan.system.errors import BadDataError

PLAIN_NAMES = tuple(name.removesuffix(".gz") for name in FILE_NAMES)
IDX_NAMES = {"train": PLAIN_NAMES[:2], "test": PLAIN_NAMES[2:]}
KEYS = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
"""Of a .npz, as Keras has them."""
MAX_LABEL = 255


def idx_files_in(folder: Path) -> dict[str, Path]:
    """The IDX files in a folder by their plain names."""
    places = ((name, folder / f"{name}{end}") for name in PLAIN_NAMES for end in ("", ".gz"))
    return {name: path for name, path in places if path.exists()}


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
        images, labels = (read_any_idx(found[name], at_most=MAX_IMAGES) for name in pair)
        splits[split] = checked_split(images, labels, of=found[pair[0]])
    return splits, _numbered(splits)


def npz_at(source: Path) -> Path | None:
    """The .npz that a path leads to: the file itself, or the only one in the folder."""
    if source.is_file():
        return source if source.suffix.lower() == ".npz" else None
    inside = [path for path in source.glob("*.npz") if not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 else None


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
        splits = {"train": checked_split(arrays["images"], labels, of=path)}
        return splits, _numbered(splits) if "labels" in arrays else (ONE_CLASS,)
    splits = {
        split: checked_split(*(arrays[key] for key in pair), of=path)
        for split, pair in KEYS.items()
        if all(key in arrays for key in pair)
    }
    if "train" not in splits:
        raise BadDataError(
            f"{path}: holds {', '.join(sorted(sizes)[:6]) or 'nothing'}; x_train and y_train, or images, are needed"
        )
    return splits, _numbered(splits)


def checked_split(images: NDArray[Any], labels: NDArray[Any], *, of: Path) -> Split:
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
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
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
