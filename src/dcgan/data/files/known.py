"""The four files of each data set: their names, and the published hashes by which they are recognised."""

import hashlib
from dataclasses import dataclass
from typing import Any

from dcgan.config.schema import IMAGE_SIZE, KnownDataset
from dcgan.data.files.idx import idx_size
from dcgan.data.files.packing import GZIP, contents, pack
from dcgan.data.specs import KNOWN_DATA

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
FILE_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
"""In the order of ARRAYS."""
_MNIST = {
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
"""By name: the size and the SHA-256 of the published file, and the SHA-256 of what is packed in it."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set."""

    name: str
    shape: tuple[int, ...]
    """Of the array inside."""
    checksum: str | None = None
    """`algorithm:digits` of the published file; None: the file is made here, not downloaded."""
    num_bytes: int | None = None
    """Of the published file, where known."""
    content_sha256: str | None = None
    """Of the unpacked file, where known; then the file may be unpacked, or packed otherwise."""

    def difference(self, content: bytes) -> str | None:
        """What tells `content` from this file, as expected and found hash and size; None if nothing does."""
        if self.checksum is None or self._is_published(content) or self._content(content):
            return None
        algorithm, expected = self.checksum.split(":")
        wanted = f" ({self.num_bytes:,} bytes)" if self.num_bytes else ""
        found = f"found {_hash(algorithm, content)} ({len(content):,} bytes)"
        advice = "" if self.content_sha256 else ", which is of the file as published, packed"
        return f"expected {algorithm} {expected}{wanted}{advice}, {found}"

    def is_right_and_packed(self, content: bytes) -> bool:
        """Whether `content` can stay where the file is to be."""
        return content.startswith(GZIP) and self.difference(content) is None

    def stored(self, content: bytes) -> bytes:
        """What to store of bytes without a difference: the published file, or else their content, packed anew."""
        unpacked = None if self.checksum is None or self._is_published(content) else self._content(content)
        return content if unpacked is None else pack(unpacked)

    def _is_published(self, content: bytes) -> bool:
        algorithm, expected = (self.checksum or ":").split(":")
        return self.num_bytes in (None, len(content)) and _hash(algorithm, content) == expected

    def _content(self, given: bytes) -> bytes | None:
        """The unpacked file in some bytes, if it is in them."""
        inside = contents(given, size=idx_size(self.shape))
        return next((each for each in inside if _hash("sha256", each) == self.content_sha256), None)


def files_of(name: KnownDataset) -> tuple[DataFile, ...]:
    """The four files of a data set, in the order of `ARRAYS`."""
    train, test = (int(split.image_counts[0]) for split in KNOWN_DATA[name].splits.values())
    image = (IMAGE_SIZE, IMAGE_SIZE)
    shapes = ((train, *image), (train,), (test, *image), (test,))
    if name == "digits":
        return tuple(DataFile(file, shape) for file, shape in zip(_MNIST, shapes, strict=True))
    if name == "mnist":
        facts = zip(_MNIST.items(), shapes, strict=True)
        return tuple(
            DataFile(file, shape, f"sha256:{sha256}", size, content_sha256)
            for (file, (size, sha256, content_sha256)), shape in facts
        )
    resources = zip(torchvision_class(name).resources, shapes, strict=True)
    return tuple(DataFile(file, shape, f"md5:{md5}") for (file, md5), shape in resources)


def torchvision_class(name: KnownDataset) -> Any:
    """Torchvision's class of a data set, which knows its mirrors."""
    from torchvision import datasets

    return {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST}[name]


def _hash(algorithm: str, content: bytes) -> str:
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
