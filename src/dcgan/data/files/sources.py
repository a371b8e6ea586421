"""Where the files come from, in order, and under which names each source may have them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dcgan.config.schema import KnownDataset
from dcgan.data.files.fetch import AbsentError, SourceError, fetch, folder_of, place_of
from dcgan.data.files.idx import idx_size
from dcgan.data.files.known import DataFile, torchvision_class
from dcgan.data.files.packing import may_hold
from dcgan.system.errors import UsageError
from dcgan.system.redaction import redacted

DEPTH = 2
"""Folders below the one given that are searched: torchvision keeps its files in MNIST/raw."""


class Obtained(NamedTuple):
    """A file as it is to be stored, and where it was found."""

    content: bytes
    place: str


def sources(name: KnownDataset, mirrors: Sequence[str] | None) -> Iterator[str]:
    """Folders and base URLs, in order; torchvision, which takes seconds to import, is asked only when it is its turn.

    Raises:
        UsageError: MNIST_MIRROR is neither a folder nor a URL.
    """
    if own := os.environ.get("MNIST_MIRROR"):
        if (folder := folder_of(own)) and not folder.is_dir():
            problem = "is a file; name its folder" if folder.is_file() else "no such folder; correct it"
            raise UsageError(f"MNIST_MIRROR: {redacted(own)}: {problem}, or unset it to use data.mirrors")
        yield own
    yield from torchvision_class(name).mirrors if mirrors is None else mirrors


def obtain(source: str, file: DataFile) -> Obtained:
    """A file from a source that may have it under another name, unpacked, or packed otherwise.

    Raises:
        SourceError: it is not there, by what the first of its names gave.
    """
    first: SourceError | None = None
    for name in _names_at(source, file):
        try:
            content = fetch(source, name, check=file.difference)
        except SourceError as error:
            first = first or error
            if folder_of(source) is None and not isinstance(error, AbsentError):
                break
        else:
            return Obtained(file.stored(content), place_of(source, name))
    assert first, "there is always a name to try"
    raise first


def _names_at(source: str, file: DataFile) -> Iterator[str]:
    """The names to try: those in use, and then in a folder whatever may be the file by its size."""
    plain = file.name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    names = [file.name, plain, f"{dotted}.gz", dotted]
    folder = folder_of(source)
    if folder is None:
        yield from names
        return
    named = [name for name in names if (folder / name).is_file()]
    yield from named
    alike = (str(path.relative_to(folder)) for path in _files_in(folder) if may_hold(path, size=idx_size(file.shape)))
    unnamed = [name for name in alike if name not in named]
    yield from unnamed or ([] if named else [file.name])


def _files_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, followlinks=True):  # passes over what cannot be read
        if len(Path(place).relative_to(folder).parts) == DEPTH:
            folders.clear()
        folders.sort()
        for path in (Path(place, name) for name in sorted(names)):
            with suppress(OSError):
                if path.is_file():
                    yield path
