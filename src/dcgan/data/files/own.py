"""Images of the user's own, a folder of pictures, IDX files or one .npz, as the four files that every data set has."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan.config.rules import refuse_few_images
from dcgan.config.schema import IMAGE_SIZE, MAX_CLASSES, Params
from dcgan.data.files.array_files import idx_files_in, npz_at, read_idx_files, read_npz
from dcgan.data.files.digits import every_nth_of_its_class
from dcgan.data.files.idx import write_idx
from dcgan.data.files.known import ARRAYS, FILE_NAMES
from dcgan.data.files.pictures import Split, read_pictures, shown
from dcgan.system.errors import BadDataError, UsageError
from dcgan.system.files import write_json

CLASSES = "classes.json"
"""Beside the four files: what the classes are called."""
TEST_EVERY = 7
"""As of MNIST's 70,000 images: every seventh of a class is held out for testing where no test images are given."""
MIN_TRAIN, MIN_TEST = 6, 1
"""Images of each class; for more figures by class, evaluation needs six of each split."""
MIN_TEST_IMAGES = 10
BRIGHT = 128
"""Mean of the outermost pixels of white paper is more."""


class OwnImages(NamedTuple):
    """Both splits, as `read_arrays` has them, and the names of the classes in the order of their labels."""

    arrays: dict[str, NDArray[np.uint8]]
    class_names: tuple[str, ...]


def write_own(params: Params, folder: Path) -> None:
    """Write the images in `data.path` as four IDX files into `folder`, with the names of their classes.

    Raises:
        BadDataError: they cannot be taken as they are.
        UsageError: params.yaml names a path that is not there, other classes than there are, or more images.
    """
    source = Path(params.data.path)
    if not source.exists():
        raise UsageError(f"data.path: {source}: no such folder or file; correct it, or put the images there")
    found = read_own(source, classes=params.data.classes)
    labels = found.arrays["train_labels"]
    _refuse_other_classes(params, found.class_names)
    chosen = labels if params.data.classes is None else labels[np.isin(labels, params.data.classes)]
    try:
        refuse_few_images(params, len(chosen))
    except ValueError as error:
        raise UsageError(str(error)) from error
    for name, key in zip(FILE_NAMES, ARRAYS, strict=True):
        write_idx(folder / name, found.arrays[key])
    write_json(folder / CLASSES, {"classes": list(found.class_names)})
    names, count = found.class_names, len(found.arrays["test_labels"])
    what = f"{len(names)} classes ({shown(list(names))})" if len(names) > 1 else "one class"
    print(f"{folder}: {len(labels):,} training and {count:,} test images of {what} from {source}")


def read_own(source: Path, *, classes: Sequence[int] | None = None) -> OwnImages:
    """The images in a folder or a file; those without a test split have every seventh of each class held out.

    `classes` are those that are going to be used: of the others there may be few, or none.

    Raises:
        BadDataError: they cannot be taken as they are; a line tells what is wrong, and with which.
    """
    splits, names = _read(source)
    images, labels = splits["train"]
    if not len(images):
        raise BadDataError(f"{source}: holds no image; put a folder of pictures for each class there (see README.md)")
    if "test" not in splits:
        is_test = every_nth_of_its_class(labels, TEST_EVERY)
        splits = {"train": (images[~is_test], labels[~is_test]), "test": (images[is_test], labels[is_test])}
    _refuse_missing(source, splits, names, classes=classes)
    _tell_of_bright_ground(source, images)
    arrays: dict[str, NDArray[np.uint8]] = {}
    for split, (pixels, numbers) in splits.items():
        arrays |= {f"{split}_images": pixels, f"{split}_labels": numbers.astype(np.uint8)}
    return OwnImages(arrays, names)


def _read(source: Path) -> tuple[dict[str, Split], tuple[str, ...]]:
    try:
        if npz := npz_at(source):
            return read_npz(npz)
        if source.is_file():
            raise BadDataError(f"{source}: neither a folder nor a .npz; name the folder that holds the images")
        return read_idx_files(source) if idx_files_in(source) else read_pictures(source)
    except OSError as error:
        problem = error.strerror or error
        raise BadDataError(f"{source}: cannot be read ({problem}); put images there, or correct data.path") from error


def _refuse_missing(
    source: Path, splits: dict[str, Split], names: Sequence[str], *, classes: Sequence[int] | None
) -> None:
    """Raise BadDataError if a class that is going to be used has too few images, or labels skip a number."""
    train, test = (np.bincount(labels, minlength=len(names)) for _, labels in (splits["train"], splits["test"]))
    skipped = [number for number, count in enumerate(train + test) if not count]
    if skipped and classes is None and all(name.isdigit() for name in names):
        there = ", ".join(str(number) for number in range(len(names)) if number not in skipped)
        raise BadDataError(
            f"{source}: labels skip {shown(list(map(str, skipped)))}; number them from 0, or take those that are there:"
            f" data.classes: [{there if len(there) < 100 else there[:50] + '…'}]"
        )
    used = [number for number in (range(len(names)) if classes is None else classes) if number < len(names)]
    if len(used) > MAX_CLASSES:
        raise BadDataError(f"{source}: has {len(used)} classes; at most {MAX_CLASSES} can be taken (data.classes)")
    few = [
        f"{names[each]} has {train[each]} and {test[each]}"
        for each in used
        if train[each] < MIN_TRAIN or test[each] < MIN_TEST
    ]
    if few:
        need = f"{MIN_TRAIN} for training and {MIN_TEST} for testing"
        raise BadDataError(f"{source}: too few images of a class: {shown(few)}; each needs {need}")
    if used and (count := int(test[used].sum())) < MIN_TEST_IMAGES:
        raise BadDataError(f"{source}: {count} images for testing; at least {MIN_TEST_IMAGES} are needed")


def _refuse_other_classes(params: Params, names: Sequence[str]) -> None:
    """Raise UsageError if `data.classes` or `model.num_classes` do not go with the classes that there are."""
    source, classes = params.data.path, params.data.classes
    for number in classes or ():
        if number >= len(names):
            raise UsageError(f"data.classes: {number} is no class of {source}, which has 0 to {len(names) - 1}")
    if classes is None and params.model.num_classes != len(names):
        has = f"{len(names)} {'class' if len(names) == 1 else 'classes'} ({shown(list(names))})"
        raise UsageError(
            f"model.num_classes: {params.model.num_classes}, but {source} has {has}; set it to {len(names)}"
        )


def _tell_of_bright_ground(source: Path, images: NDArray[np.uint8]) -> None:
    """A line if images look like ink on paper: what MNIST taught people, and nearly all models, is light on dark."""
    edge = np.ones((IMAGE_SIZE, IMAGE_SIZE), bool)
    edge[1:-1, 1:-1] = False
    if (mean := float(images[:, edge].mean())) > BRIGHT:
        print(
            f"note: {source}: the ground is bright (the outermost pixels' mean is {mean:.0f} of 255), and is taken so;"
            " MNIST's ink is bright on black: invert the files if these are to be like it",
            file=sys.stderr,
        )
