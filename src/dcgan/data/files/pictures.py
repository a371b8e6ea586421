"""A folder of pictures, 28x28 in grey, as arrays: one folder a class, or all of one; on request by train/ and test/."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan.config.schema import IMAGE_SIZE
from dcgan.system.errors import BadDataError
from dcgan.system.progress import ProgressLines

SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".pgm", ".jpg", ".jpeg")
FORMATS = ("PNG", "BMP", "TIFF", "PPM", "JPEG")
"""The same, as Pillow calls them."""
CLUTTER = {"thumbs.db", "desktop.ini", "readme", "readme.md", "readme.txt"}
"""What desktops and people leave beside pictures; so are hidden files."""
MAX_IMAGES = 200_000
"""Three times MNIST; evaluation holds all of them in memory, several times."""
ROUNDING = 4
"""By which the channels of a grey pixel may differ: JPEG rounds them."""
NUM_EXAMPLES = 5
ONE_CLASS = "all"
"""What the class of a folder without folders is called."""

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images [N, 28, 28] and their labels [N]."""


def read_pictures(source: Path, *, told_by: str = "download") -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits of a folder, `train` and, where it is told apart, `test`; and the names of the classes, sorted.

    Lines about its progress begin with `told_by`.

    Raises:
        BadDataError: a file is no such picture, the folders are not laid out so, or there are too many files.
    """
    inside = {entry.name for entry in _visible(source, at_most=MAX_IMAGES) if _is_folder(entry)}
    is_split = inside in ({"train"}, {"train", "test"})
    roots = {name: source / name for name in ("train", "test") if name in inside} if is_split else {"train": source}
    files = {split: _files_by_class(root) for split, root in roots.items()}
    names = tuple(files["train"])
    if "test" in files and (odd := [name for name in files["test"] if name not in names]):
        raise BadDataError(f"{source / 'test'}: has classes that {source / 'train'} lacks: {shown(odd)}")
    count = sum(len(paths) for split in files.values() for paths in split.values())
    lines, refused = ProgressLines(told_by, end=count, unit="image"), _Refused(source)
    splits = {split: _read(by_class, names, lines, refused) for split, by_class in files.items()}
    refused.raise_if_any()
    return splits, names


def shown(names: list[str]) -> str:
    """A few of some names, fit to print whatever bytes a file system gave."""
    few = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in names[:NUM_EXAMPLES])
    return f"{few}, …" if len(names) > NUM_EXAMPLES else few


class _Refused:
    """The first pictures that cannot be taken, each with its reason."""

    def __init__(self, source: Path) -> None:
        self._source, self._reasons = source, list[str]()

    def add(self, path: Path, reason: object) -> None:
        name = shown([str(path.relative_to(self._source))])
        self._reasons.append(f"{name} {' '.join(str(reason).split())}")
        if len(self._reasons) == NUM_EXAMPLES:
            self.raise_if_any()

    def raise_if_any(self) -> None:
        if self._reasons:
            more = " and perhaps more" if len(self._reasons) == NUM_EXAMPLES else ""
            wanted = f"images are {IMAGE_SIZE}x{IMAGE_SIZE} pixels, grey, of 8 bits; convert or remove what is not"
            raise BadDataError(f"{self._source}: {'; '.join(self._reasons)}{more}; {wanted}")


def _files_by_class(root: Path) -> dict[str, list[Path]]:
    folders: list[Path] = []
    files: list[Path] = []
    for entry in _visible(root, at_most=MAX_IMAGES):
        (folders if _is_folder(entry) else files).append(Path(entry.path))
    if folders and files:
        names = shown(sorted(path.name for path in files))
        raise BadDataError(f"{root}: has files beside the folders of classes ({names}); move them into one, or away")
    if not folders:
        return {ONE_CLASS: sorted(files)} if files else {}
    by_class: dict[str, list[Path]] = {}
    left = MAX_IMAGES
    for folder in sorted(folders):
        name = folder.name
        if not name.isprintable() or name != name.encode("utf-8", "ignore").decode():
            raise BadDataError(f"{root}: the name of the folder {name!a} is no plain text; rename it")
        entries = list(_visible(folder, at_most=left))
        if odd := [entry.name for entry in entries if _is_folder(entry)]:
            raise BadDataError(f"{folder}: holds folders ({shown(sorted(odd))}); a class's folder holds pictures alone")
        by_class[name] = sorted(Path(entry.path) for entry in entries)
        left -= len(entries)
    return by_class


def _visible(folder: Path, *, at_most: int) -> Iterator[os.DirEntry[str]]:
    """What is in a folder but for clutter; stops with an error, and does not list on, where it is too much."""
    found = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in CLUTTER:
                continue
            found += 1
            if found > at_most:
                raise BadDataError(f"{folder}: holds more than the {MAX_IMAGES:,} images that can be taken; move some")
            yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _read(by_class: dict[str, list[Path]], names: tuple[str, ...], lines: ProgressLines, refused: _Refused) -> Split:
    paths = [(path, names.index(name)) for name, each in by_class.items() for path in each]
    images = np.zeros((len(paths), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for index, (path, _) in enumerate(paths):
        try:
            images[index] = _pixels(path)
        except ValueError as error:
            refused.add(path, error)
        lines.advance_to(index + 1)
    return images, np.array([label for _, label in paths], np.int64)


def _pixels(path: Path) -> NDArray[np.uint8]:
    """The pixels uint8 [28, 28] of a picture; ValueError tells what is wrong with it."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"is none of {', '.join(SUFFIXES)}")
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.size != (IMAGE_SIZE, IMAGE_SIZE):
                raise ValueError(f"has {picture.width}x{picture.height} pixels")
            if picture.mode[0] in "IF":
                raise ValueError("has more than 8 bits a pixel")
            if getattr(picture, "n_frames", 1) > 1:
                raise ValueError("has several frames")
            picture.load()
            channels = np.asarray(picture if picture.mode == "L" else picture.convert("RGBA"))
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be read ({_reason(error, path)})") from error
    if channels.ndim == 2:
        return np.array(channels, np.uint8)
    *colours, alpha = np.moveaxis(channels, 2, 0)
    if (alpha < 255).any():
        raise ValueError("is partly transparent")
    if (np.ptp(np.stack(colours).astype(np.int16), axis=0) > ROUNDING).any():
        raise ValueError("has colours")
    return np.array(colours[0], np.uint8)


def _reason(error: Exception, path: Path) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.replace(str(path), "it").replace(repr(str(path)), "it")
