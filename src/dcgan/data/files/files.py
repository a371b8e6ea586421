"""The four files of MNIST and its drop-in siblings: where they are, how they arrive whole, what must be in them."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import IMAGE_SIZE, NUM_CLASSES, DatasetName
from dcgan.data.files.fetch import SourceError, WrongBytesError, fetch, place_of
from dcgan.data.files.idx import REPAIR, read_idx
from dcgan.data.specs import KNOWN_DATA
from dcgan.system.errors import BadDataError, UnavailableError, UsageError
from dcgan.system.files import write_bytes
from dcgan.system.redaction import redacted

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_MNIST = {
    "train-images-idx3-ubyte.gz": (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    "train-labels-idx1-ubyte.gz": (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "t10k-images-idx3-ubyte.gz": (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    "t10k-labels-idx1-ubyte.gz": (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}


@dataclass(frozen=True)
class DataFile:
    """One file of a data set."""

    name: str
    shape: tuple[int, ...]
    """Of the array inside."""
    checksum: str | None = None
    """`algorithm:digits`; None: the file is made here, not downloaded."""
    num_bytes: int | None = None
    """Of the packed file, where known."""

    def difference(self, content: bytes) -> str | None:
        """What tells `content` from this file, as expected and found hash and size; None if nothing does."""
        if self.checksum is None:
            return None
        algorithm, expected = self.checksum.split(":")
        found, size = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest(), len(content)
        if found == expected and self.num_bytes in (None, size):
            return None
        wanted = f" ({self.num_bytes:,} bytes)" if self.num_bytes else ""
        return f"expected {algorithm} {expected}{wanted}, found {found} ({size:,} bytes)"


def files_of(name: DatasetName) -> tuple[DataFile, ...]:
    """The four files of a data set, in the order of `ARRAYS`."""
    train, test = (split.num_images for split in KNOWN_DATA[name].splits.values())
    image = (IMAGE_SIZE, IMAGE_SIZE)
    shapes = ((train, *image), (train,), (test, *image), (test,))
    if name == "digits":
        return tuple(DataFile(file, shape) for file, shape in zip(_MNIST, shapes, strict=True))
    if name == "mnist":
        facts = zip(_MNIST.items(), shapes, strict=True)
        return tuple(DataFile(file, shape, f"sha256:{sha256}", size) for (file, (size, sha256)), shape in facts)
    resources = zip(_torchvision_class(name).resources, shapes, strict=True)
    return tuple(DataFile(file, shape, f"md5:{md5}") for (file, md5), shape in resources)


def download_files(name: DatasetName, folder: Path, *, mirrors: Sequence[str] | None) -> None:
    """Put the four files into `folder`, each whole and checked or not at all; one already right is kept.

    Prints a line for each file, and for each source that failed before another delivered. Mirrors are folders or base
    URLs, tried in order after the one in MNIST_MIRROR; None: torchvision's own. None of them has `digits`.

    Raises:
        UsageError: MNIST_MIRROR is neither a folder nor a URL.
        UnavailableError: no source delivers a file; lists each with its reason.
        BadDataError: every source that delivers a file sends wrong bytes.
    """
    untried = _sources(name, mirrors)
    proven: list[str] = []
    failed: list[str] = []
    for file in files_of(name):
        path = folder / file.name
        if path.is_file() and file.difference(path.read_bytes()) is None:
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
    arrays = {}
    for key, file in zip(ARRAYS, files_of(name), strict=True):
        path = folder / file.name
        if path.is_file() and (difference := file.difference(path.read_bytes())):
            raise BadDataError(f"{path}: {difference}; {REPAIR}")
        arrays[key] = read_idx(path, shape=file.shape)
        if key.endswith("labels"):
            _check_labels(arrays[key], path)
    return arrays


def _check_labels(labels: NDArray[np.uint8], path: Path) -> None:
    wrong = np.flatnonzero(labels >= NUM_CLASSES)
    if wrong.size:
        first = f"{labels[wrong[0]]} at index {wrong[0]}"
        raise BadDataError(f"{path}: expected labels 0..9, found {wrong.size:,} others, first {first}; {REPAIR}")


def _sources(name: DatasetName, mirrors: Sequence[str] | None) -> Iterator[str]:
    """Where to look, in order; torchvision, which takes seconds to import, is asked only when it is its turn."""
    own = os.environ.get("MNIST_MIRROR")
    if own and "://" not in own and not Path(own).expanduser().is_dir():
        raise UsageError(f"MNIST_MIRROR: {redacted(own)}: no such folder; correct it, or unset it to use data.mirrors")
    if own:
        yield own
    yield from _torchvision_class(name).mirrors if mirrors is None else mirrors


def _torchvision_class(name: DatasetName) -> Any:
    from torchvision import datasets

    return {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST}[name]


def _download_from_first(sources: Iterable[str], file: DataFile, path: Path) -> tuple[str, list[str]]:
    """Write `file` from the first source that delivers it; returns that source and those that did not deliver."""
    failures: dict[str, SourceError] = {}
    for source in sources:
        try:
            content = fetch(source, file.name, check=file.difference)
        except SourceError as error:
            failures[source] = error
            continue
        write_bytes(path, content)
        for reason in _reasons(file, failures):
            print(reason)
        print(f"{path}: {len(content):,} bytes from {redacted(source)}")
        return source, list(failures)
    tried = "; ".join(_reasons(file, failures)) or "neither MNIST_MIRROR nor data.mirrors names one"
    repair = "set MNIST_MIRROR to a folder or a base URL that has the four files"
    if any(isinstance(error, WrongBytesError) for error in failures.values()):
        raise BadDataError(f"{file.name}: no source has the right bytes: {tried}; {repair}")
    raise UnavailableError(f"{file.name}: no source can be reached: {tried}; {repair}")


def _reasons(file: DataFile, failures: dict[str, SourceError]) -> list[str]:
    return [f"{redacted(place_of(source, file.name))}: {error}" for source, error in failures.items()]
