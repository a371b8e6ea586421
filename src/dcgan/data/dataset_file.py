"""data/dataset.safetensors: the validated data set, the only road from the raw files to training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import NUM_CLASSES, ModelConfig
from dcgan.config.workspace import DATASET, VALIDATION
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError, UsageError
from dcgan.system.files import read_json, sha256_of
from dcgan.system.tensors_file import load_arrays, save_arrays

if TYPE_CHECKING:
    from dcgan.data.dataset import Dataset

DIGITS = tuple(map(str, range(NUM_CLASSES)))
"""What the classes are called where the file does not say it."""
CLASSES = "classes"
"""The entry of the metadata that says it, as a JSON list in the order of the labels."""


def save_dataset(
    path: Path, arrays: Mapping[str, NDArray[Any]], *, name: str, class_names: Sequence[str] = DIGITS
) -> str:
    """Write both splits, atomically; equal data gives equal bytes. Returns the file's SHA-256.

    These are `train_images` and `test_images` uint8 [N, 28, 28], 0 background, 255 ink, with `train_labels` and
    `test_labels` [N], stored as int64; the metadata keep the data set's name, and those of its classes if they are
    not the ten digits.
    """
    stored = {
        key: np.ascontiguousarray(array, np.int64 if key.endswith("labels") else np.uint8)
        for key, array in arrays.items()
    }
    names = {} if tuple(class_names) == DIGITS else {CLASSES: json.dumps(class_names, ensure_ascii=False)}
    save_arrays(path, stored, {"name": name, **names})
    return sha256_of(path)


def load_dataset(
    path: Path = DATASET, *, report_path: Path = VALIDATION, model: ModelConfig | None = None
) -> "Dataset":
    """The data set in `path`, if it is the file that `validate` let through: its report has the file's SHA-256.

    Raises:
        BadDataError: either file is missing or damaged, or the data set is another one; says how to repair it.
        UsageError: it has another number of classes than `model`.
    """
    import torch

    from dcgan.data.dataset import Dataset, LabelledImages

    report = read_json(report_path, made_by="validate")
    expected = report.get("dataset_sha256")
    if expected is None:
        raise BadDataError(f"{report_path}: the data was not accepted; see there why, then run `dvc repro`")
    arrays, metadata = load_arrays(path, made_by="validate")
    if (found := sha256_of(path)) != expected:
        raise BadDataError(
            f"{path}: not the file that {report_path} lets through, whose sha256 is {expected}, not {found};"
            f" {rerun('validate')}"
        )
    names = class_names_in(metadata)
    if model and model.num_classes != (count := len(names)):
        raise UsageError(f"model.num_classes: {model.num_classes}, but {path} has {count}; set it to {count}")
    train, test = (
        LabelledImages(*(torch.from_numpy(arrays[f"{split}_{part}"]) for part in ("images", "labels")))
        for split in ("train", "test")
    )
    return Dataset(metadata["name"], found, train, test, class_names=names)


def class_names_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """What the classes are called, by the metadata of a data set's file."""
    return tuple(json.loads(metadata[CLASSES])) if CLASSES in metadata else DIGITS
