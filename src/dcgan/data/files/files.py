"""Downloading the four files of a data set, each whole and checked, and reading their arrays."""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import IMAGE_SIZE, DatasetName, KnownDataset
from dcgan.data.dataset_file import DIGITS
from dcgan.data.files.fetch import SourceError, WrongBytesError, place_of
from dcgan.data.files.idx import REPAIR, idx_shape, read_idx
from dcgan.data.files.known import ARRAYS, FILE_NAMES, DataFile, files_of
from dcgan.data.files.own import CLASSES
from dcgan.data.files.sources import obtain, sources
from dcgan.system.errors import BadDataError, UnavailableError
from dcgan.system.files import read_json, write_bytes
from dcgan.system.redaction import redacted


def download_files(name: KnownDataset, folder: Path, *, mirrors: Sequence[str] | None) -> None:
    """Put the four files into `folder`, each whole and checked or not at all; one already right is kept.

    Prints a line for each file, and for each source that failed before another delivered. Mirrors are folders or base
    URLs, tried in order after the one in MNIST_MIRROR; None: torchvision's own. None of them has `digits`. What counts
    is a file's content, not its name; one that is not packed as published is packed anew.

    Raises:
        UsageError: MNIST_MIRROR is neither a folder nor a URL.
        UnavailableError: no source delivers a file; lists each with its reason.
        BadDataError: every source that delivers a file sends wrong bytes.
    """
    untried = sources(name, mirrors)
    proven: list[str] = []
    failed: list[str] = []
    for file in files_of(name):
        path = folder / file.name
        if path.is_file() and file.is_right_and_packed(path.read_bytes()):
            print(f"{path}: already there")
            continue
        source, failures = _download_from_first(chain(proven, untried, failed), file, path)
        proven = [source]
        failed = [each for each in dict.fromkeys([*failed, *failures]) if each != source]


def read_arrays(name: DatasetName, folder: Path) -> dict[str, NDArray[np.uint8]]:
    """The arrays of the four files: `train_images` and `test_images` [N, 28, 28], `train_labels` and `test_labels` [N].

    Raises:
        BadDataError: a file is missing or not what it must be; says what was expected and found.
    """
    arrays, num_classes = {}, len(read_class_names(name, folder))
    for key, file in zip(ARRAYS, _own_files(folder) if name == "images" else files_of(name), strict=True):
        path = folder / file.name
        if path.is_file() and (difference := file.difference(path.read_bytes())):
            raise BadDataError(f"{path}: {difference}; {REPAIR}")
        arrays[key] = read_idx(path, shape=file.shape)
        if key.endswith("labels"):
            _check_labels(arrays[key], path, num_classes=num_classes)
    return arrays


def read_class_names(name: DatasetName, folder: Path) -> tuple[str, ...]:
    """What the classes of a data set are called, in the order of their labels.

    Raises:
        BadDataError: images of the user's own have no whole list of them.
    """
    if name != "images":
        return DIGITS
    names = read_json(folder / CLASSES, made_by="download").get("classes")
    if not isinstance(names, list) or not names or not all(isinstance(each, str) for each in names):
        raise BadDataError(f"{folder / CLASSES}: no list of names; {REPAIR}")
    return tuple(names)


def _own_files(folder: Path) -> tuple[DataFile, ...]:
    """The four files of images of the user's own, whose number their headers tell."""
    files = []
    for name in FILE_NAMES:
        count, *sides = idx_shape(folder / name, dimensions=3 if "images" in name else 1)
        files.append(DataFile(name, (count, *(IMAGE_SIZE for _ in sides))))
    for images, labels in (files[:2], files[2:]):
        if images.shape[0] != labels.shape[0]:
            counts = f"{images.shape[0]:,} images and {labels.shape[0]:,} labels"
            raise BadDataError(f"{folder / images.name}: {counts}; {REPAIR}")
    return tuple(files)


def _check_labels(labels: NDArray[np.uint8], path: Path, *, num_classes: int) -> None:
    wrong = np.flatnonzero(labels >= num_classes)
    if wrong.size:
        first = f"{labels[wrong[0]]} at index {wrong[0]}"
        raise BadDataError(
            f"{path}: expected labels 0..{num_classes - 1}, found {wrong.size:,} others, first {first}; {REPAIR}"
        )


def _download_from_first(places: Iterable[str], file: DataFile, path: Path) -> tuple[str, list[str]]:
    """Write `file` from the first source that delivers it; returns that source and those that did not deliver."""
    failures: dict[str, SourceError] = {}
    for source in places:
        try:
            content, place = obtain(source, file)
        except SourceError as error:
            failures[source] = error
            continue
        write_bytes(path, content)
        for reason in _reasons(file, failures):
            print(reason)
        where = source if place == place_of(source, file.name) else place
        print(f"{path}: {len(content):,} bytes from {redacted(where)}")
        return source, list(failures)
    tried = "; ".join(_reasons(file, failures)) or "neither MNIST_MIRROR nor data.mirrors names one"
    repair = "set MNIST_MIRROR to a folder or a base URL that has the four files"
    if any(isinstance(error, WrongBytesError) for error in failures.values()):
        raise BadDataError(f"{file.name}: no source has the right bytes: {tried}; {repair}")
    raise UnavailableError(f"{file.name}: no source can be reached: {tried}; {repair}")


def _reasons(file: DataFile, failures: dict[str, SourceError]) -> list[str]:
    return [f"{redacted(place_of(source, file.name))}: {error}" for source, error in failures.items()]
