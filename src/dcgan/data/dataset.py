"""Labelled images as tensors: what `validate` lets through and everything after it reads."""

from dataclasses import dataclass

from torch import Tensor

from dcgan.data.dataset_file import DIGITS


@dataclass(frozen=True)
class LabelledImages:
    """One split: `images` uint8 [N, 28, 28] (0 background, 255 ink) and `labels` int64 [N] from 0."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Both splits of a validated data set, its name and the SHA-256 of the file they came from."""

    name: str
    sha256: str
    train: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...] = DIGITS
    """In the order of their labels."""

    @property
    def num_classes(self) -> int:
        """Labels are less."""
        return len(self.class_names)
