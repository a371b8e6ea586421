"""data/dataset.safetensors, the only road from the raw files to training; every reader checks its hash."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, write_bytes

if TYPE_CHECKING:
    from dcgan.data.dataset import Dataset

REPAIR = "run `dcgan doctor --repair`, then `dvc repro`; if it finds nothing, `dvc repro --force validate`"
"""DVC trusts every read-only object in its cache: it restores a damaged one again and again, which a forced run of the
stage does not replace. `dcgan doctor` reads them."""


def save_dataset(
    path: Path,
    *,
    name: str,
    train_images: NDArray[np.uint8],
    train_labels: NDArray[np.integer],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[np.integer],
) -> str:
    """Write both splits, atomically; equal data gives equal bytes. Returns the file's SHA-256.

    Args:
        path: the file to create or replace.
        name: of the data set; kept in the file's metadata.
        train_images: uint8 [N, 28, 28], 0 background, 255 ink.
        train_labels: [N] in 0..9, stored as int64.
        test_images: as train_images.
        test_labels: as train_labels.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {
        "train_images": np.ascontiguousarray(train_images),
        "train_labels": np.ascontiguousarray(train_labels, np.int64),
        "test_images": np.ascontiguousarray(test_images),
        "test_labels": np.ascontiguousarray(test_labels, np.int64),
    }
    content = save(tensors, metadata={"name": name})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def load_dataset(path: Path, *, report_path: Path) -> "Dataset":
    """The data set in `path`, if it is the file that `validate` let through.

    Args:
        path: what `save_dataset` wrote.
        report_path: the validation report, whose `dataset_sha256` the file must have.

    Raises:
        BadDataError: either file is missing, or the hash is another; says what was expected and how to repair it.
    """
    from safetensors.torch import load

    from dcgan.data.dataset import Dataset, LabelledImages

    report = read_json(report_path, made_by="validate")
    expected = report.get("dataset_sha256")
    if expected is None:
        raise BadDataError(f"{report_path}: the data was not accepted; see there why, then run the stage `validate`")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; run the stage `validate` first") from None
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise BadDataError(f"{path}: expected sha256 {expected}, found {found}; {REPAIR}")
    tensors = load(content)
    train, test = (
        LabelledImages(tensors[f"{split}_images"], tensors[f"{split}_labels"]) for split in ("train", "test")
    )
    return Dataset(name=report["dataset"], sha256=found, train=train, test=test)
