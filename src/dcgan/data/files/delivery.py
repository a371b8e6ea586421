"""A delivery: new images, with or without labels, that are to be held against a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.files.array_files import MAX_LABEL, checked_split, npz_at, read_npz
from dcgan.data.files.idx import read_any_idx
from dcgan.data.files.pictures import MAX_IMAGES, ONE_CLASS, Split, read_pictures, shown
from dcgan.system.errors import BadDataError

IDX_IMAGES, IDX_LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
"""In the names of IDX files, packed or not, of which images and labels are told from each other by nothing else."""
WANTED = "IDX files, a folder of pictures, or a .npz"


class Delivery(NamedTuple):
    """Images uint8 [N, 28, 28] and their labels int64 [N], numbered as the data set's; None: they have none."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


def read_delivery(source: Path, class_names: Sequence[str]) -> Delivery:
    """The images of a file or a folder; those of several splits one after the other.

    Args:
        source: a folder of pictures, one folder a class or all in one; a .npz of `images` and perhaps `labels`, or of
            `x_train` and `y_train`; an IDX file of images, or a folder of such, each with its labels beside it or none.
        class_names: of the data set, in the order of their labels. A class of the delivery is the one of the same name;
            numbers count from the first where the data set's classes have other names.

    Raises:
        BadDataError: nothing is there, it cannot be taken as it is, or it has a class that the data set lacks.
    """
    try:
        splits, names = _read(source)
    except OSError as error:
        raise BadDataError(f"{source}: cannot be read ({error.strerror or error}); name {WANTED}") from error
    images = np.concatenate([images for images, _ in splits] or [np.zeros((0, IMAGE_SIZE, IMAGE_SIZE), np.uint8)])
    if not len(images):
        raise BadDataError(f"{source}: holds no image; name {WANTED}")
    if len(images) > MAX_IMAGES:
        raise BadDataError(f"{source}: holds {len(images):,} images, more than the {MAX_IMAGES:,} that can be taken")
    if names is None:
        return Delivery(images, None)
    return Delivery(images, _renumbered(np.concatenate([labels for _, labels in splits]), names, class_names, source))


def _read(source: Path) -> tuple[list[Split], tuple[str, ...] | None]:
    """The splits, and the names of their labels; None: they are not labelled."""
    if idx := _idx_images(source):
        return _read_idx(idx)
    if npz := npz_at(source):
        by_name, names = read_npz(npz)
    elif source.is_dir():
        by_name, names = read_pictures(source, told_by="check-data")
    else:
        source.stat()  # a file that is missing says so
        raise BadDataError(f"{source}: none of {WANTED}")
    return list(by_name.values()), None if names == (ONE_CLASS,) else names


def _idx_images(source: Path) -> list[Path]:
    """IDX files of images by their names: the file itself, or those in the folder."""
    files = [source] if source.is_file() else source.glob(f"[!.]*{IDX_IMAGES}*")
    return sorted(path for path in files if IDX_IMAGES in path.name)


def _read_idx(files: Sequence[Path]) -> tuple[list[Split], tuple[str, ...] | None]:
    splits, unlabelled = [], []
    for path in files:
        images = read_any_idx(path, at_most=MAX_IMAGES)
        stem = path.name.removesuffix(".gz").replace(IDX_IMAGES, IDX_LABELS)
        beside = [each for each in (path.with_name(stem), path.with_name(f"{stem}.gz")) if each.exists()]
        unlabelled += [] if beside else [path.name]
        labels = read_any_idx(beside[0], at_most=MAX_IMAGES) if beside else np.zeros(len(images), np.uint8)
        splits.append(checked_split(images, labels, of=path))
    if unlabelled and len(unlabelled) < len(files):
        raise BadDataError(f"{files[0].parent / unlabelled[0]}: has no labels beside it, as others have; add them")
    return splits, None if unlabelled else tuple(map(str, range(MAX_LABEL + 1)))


def _renumbered(
    labels: NDArray[np.int64], names: Sequence[str], class_names: Sequence[str], source: Path
) -> NDArray[np.int64]:
    """The labels as the data set numbers its classes."""
    numbers = {name: number for number, name in enumerate(class_names)}
    if not any(name.isdigit() for name in class_names) and all(name.isdigit() for name in names):
        numbers = {str(number): number for number in range(len(class_names))}
    present = sorted(set(labels.tolist()))
    if lacking := [names[label] for label in present if names[label] not in numbers]:
        raise BadDataError(
            f"{source}: has classes that the data set lacks: {shown(lacking)}; its classes are"
            f" {shown(list(numbers))}; remove their images, or correct their names"
        )
    new = np.full(1 + present[-1], -1, np.int64)
    new[present] = [numbers[names[label]] for label in present]
    return new[labels]
