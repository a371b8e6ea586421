"""A subset of a data set's classes: `data.classes`."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dcgan.config.rules import refuse_few_images
from dcgan.config.schema import Params
from dcgan.data.specs import KNOWN_DATA, SplitFacts
from dcgan.system.errors import UsageError


def refuse_few_of_known(params: Params) -> None:
    """Raise UsageError if a later stage needs more training images than the classes chosen of a known data set have."""
    data = params.data
    if (
        data.name != "images"
        and data.classes is not None
        and isinstance(known := KNOWN_DATA[data.name].train, SplitFacts)
    ):
        try:
            refuse_few_images(params, sum(known.class_counts[label] for label in data.classes))
        except ValueError as error:
            raise UsageError(str(error)) from error


def select_classes(
    arrays: Mapping[str, NDArray[np.uint8]], class_names: Sequence[str], classes: Sequence[int] | None
) -> tuple[dict[str, NDArray[np.uint8]], tuple[str, ...]]:
    """The images of some classes, labelled anew from 0 in the order of their old labels, and the classes' names.

    Args:
        arrays: `train_images` and `test_images` [N, 28, 28] with `train_labels` and `test_labels` [N].
        class_names: in the order of the labels.
        classes: old labels in any order; None: all.
    """
    if classes is None:
        return dict(arrays), tuple(class_names)
    kept = sorted(classes)
    selected = {}
    for split in ("train", "test"):
        labels = arrays[f"{split}_labels"]
        is_kept = np.isin(labels, kept)
        selected[f"{split}_images"] = arrays[f"{split}_images"][is_kept]
        selected[f"{split}_labels"] = np.searchsorted(kept, labels[is_kept]).astype(np.uint8)
    return selected, tuple(class_names[label] for label in kept)
