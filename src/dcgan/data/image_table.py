"""A table with one row per image, of the quantities that the expectations bound."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcgan.config.schema import NUM_CLASSES

if TYPE_CHECKING:
    from pandas import DataFrame

CHUNK = 4096
"""Images measured at once, which bounds the memory."""
SPLITS = ("train", "test")


def image_table(arrays: Mapping[str, NDArray[np.uint8]]) -> "DataFrame":
    """One row per image uint8 [N, H, W] of both splits, with labels [N], the training images first.

    Columns: split, index (in its split), label, height, width; ink_mean and ink_std (of its pixels, in [0, 1]);
    ink_min and ink_max (0..255); ink_share (of pixels above 0); centre_y and centre_x (centre of mass in pixels, none
    if blank); box_height and box_width (of the ink's bounding box, 0 if blank); sha256 (of the pixels); is_shared (the
    other split has the same pixels).
    """
    import pandas as pd

    table = pd.concat(
        [split_table(split, arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in SPLITS],
        ignore_index=True,
    )
    splits_of_copies = table.groupby("sha256")["split"].transform("nunique")
    return table.assign(is_shared=splits_of_copies > 1)


def split_table(split: str, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> "DataFrame":
    """The same of images alone, without `is_shared`."""
    import pandas as pd

    _, height, width = images.shape
    return pd.DataFrame(
        {
            "split": split,
            "index": np.arange(len(images)),
            "label": labels.astype(np.int64),
            "height": height,
            "width": width,
            **measure_images(images),
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in images],
        }
    )


def measure_images(images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The columns from `ink_mean` to `box_width`, [N] each, of images [N, H, W], N at least 1."""
    chunks = [_measure(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    return {column: np.concatenate([chunk[column] for chunk in chunks]) for column in chunks[0]}


def summarise_splits(table: "DataFrame", *, num_classes: int = NUM_CLASSES) -> dict[str, dict[str, Any]]:
    """For each split its number of `images`, `mean` and `std` of all its pixels in [0, 1], and its `class_counts`."""
    return {split: _summary(table[table["split"] == split], num_classes) for split in SPLITS}


def _summary(rows: "DataFrame", num_classes: int) -> dict[str, Any]:
    means, stds = (rows[column].to_numpy(np.float64) for column in ("ink_mean", "ink_std"))
    mean = float(means.mean())
    variance = float((stds**2 + means**2).mean()) - mean**2
    return {
        "images": len(rows),
        "mean": round(mean, 6),
        "std": round(variance**0.5, 6),
        "class_counts": np.bincount(rows["label"].to_numpy(np.int64), minlength=num_classes).tolist(),
    }


def _measure(images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The numbers of each image."""
    flat = images.reshape(len(images), -1) / 255
    has_ink = images > 0
    return {
        "ink_mean": flat.mean(axis=1),
        "ink_std": flat.std(axis=1),
        "ink_min": images.min(axis=(1, 2)).astype(np.int64),
        "ink_max": images.max(axis=(1, 2)).astype(np.int64),
        "ink_share": has_ink.mean(axis=(1, 2)),
        "centre_y": _centres(images.sum(axis=2, dtype=np.float64)),
        "centre_x": _centres(images.sum(axis=1, dtype=np.float64)),
        "box_height": _spans(np.any(has_ink, axis=2)),
        "box_width": _spans(np.any(has_ink, axis=1)),
    }


def _spans(occupied: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From the first to the last True of each row, both included; 0 where there is none."""
    length = occupied.shape[1]
    spans: NDArray[np.int64] = length - occupied.argmax(axis=1) - occupied[:, ::-1].argmax(axis=1)
    return np.where(occupied.any(axis=1), spans, 0)


def _centres(profiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of mass of each row; NaN where there is no mass."""
    mass = profiles.sum(axis=1)
    moments: NDArray[np.float64] = profiles @ np.arange(profiles.shape[1])
    centres = np.full(mass.shape, np.nan)
    np.divide(moments, mass, out=centres, where=mass > 0)
    return centres
