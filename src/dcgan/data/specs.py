"""What is known about each data set: the numbers that a file in its place must show."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcgan.config.schema import KnownDataset

Range = tuple[float, float]
"""Lowest and highest value allowed, both included."""
SHARE_TOLERANCE = 0.002
"""How far a class's share of the images may be from the known one, which is near 0.1."""


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """One split: how many images of each class, and how bright its pixels are as a whole."""

    class_counts: tuple[int, ...]
    mean: Range
    """Mean of all pixels, in [0, 1]."""
    std: Range
    """Standard deviation of all pixels, in [0, 1]."""

    @property
    def num_images(self) -> int:
        """Images in the split."""
        return sum(self.class_counts)

    @property
    def image_counts(self) -> Range:
        """Bounds of the number of images."""
        return self.num_images, self.num_images

    @property
    def class_shares(self) -> tuple[Range, ...]:
        """Bounds of each class's share of the images."""
        shares = (count / self.num_images for count in self.class_counts)
        return tuple((round(share - SHARE_TOLERANCE, 4), round(share + SHARE_TOLERANCE, 4)) for share in shares)


@dataclass(frozen=True, kw_only=True)
class SplitBounds:
    """One split of which no exact numbers are known."""

    image_counts: Range
    class_shares: tuple[Range, ...]
    mean: Range
    std: Range


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Both splits, and what holds for every single image."""

    train: SplitFacts | SplitBounds
    test: SplitFacts | SplitBounds
    images: Mapping[str, Range]
    """Per image; the columns are those of `dcgan.data.image_table`."""
    max_shared: int
    """Images that may have an exact copy in the other split."""
    min_distinct: float
    """Share of images without any exact copy before them."""
    mostly: float = 1
    """Share of images that have to be within the bounds of `images`."""

    @property
    def splits(self) -> dict[str, SplitFacts | SplitBounds]:
        """Both splits under their names."""
        return {"train": self.train, "test": self.test}

    @property
    def num_classes(self) -> int:
        """Labels are less."""
        return len(self.train.class_shares)


def _around(value: float, tolerance: float) -> Range:
    return (value - tolerance, value + tolerance)


def _balanced(images_per_class: int, *, mean: Range, std: Range) -> SplitFacts:
    return SplitFacts(class_counts=(images_per_class,) * 10, mean=mean, std=std)


# Digits were scaled to fit 20x20 and put with their centre of mass in the middle.
_CENTRED = {
    "ink_min": (0, 0),
    "centre_y": (13.4, 14.6),
    "centre_x": (13.4, 14.6),
    "box_height": (1, 20),
    "box_width": (1, 20),
}
# Neither centred nor framed, and nobody publishes more: an empty or an even image must not pass, nor one whose ink is
# all in a corner.
_FREE = {
    "ink_mean": (0.0005, 0.95),
    "ink_std": (0.002, 0.5),
    "ink_max": (1, 255),
    "ink_share": (0.002, 1),
    "centre_y": (2, 25),
    "centre_x": (2, 25),
}

MAX_SHARED, MIN_DISTINCT = 0.001, 0.995
"""Of a data set of which nobody published how many copies it has: as a share of the images, and as in DataFacts."""

KNOWN_DATA: Mapping[KnownDataset, DataFacts] = {
    "mnist": DataFacts(
        train=SplitFacts(
            class_counts=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
            mean=_around(0.1307, 0.0005),
            std=_around(0.3081, 0.0005),
        ),
        test=SplitFacts(
            class_counts=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
            mean=_around(0.1325, 0.0005),
            std=_around(0.3105, 0.0005),
        ),
        images={
            **_CENTRED,
            "ink_mean": (0.02, 0.45),
            "ink_std": (0.1, 0.5),
            "ink_max": (254, 255),
            "ink_share": (0.04, 0.5),
        },
        max_shared=0,
        min_distinct=1,
    ),
    # The published mean and deviation are the training images'; the test images' are near them, KMNIST's less so.
    # One image in a thousand may have a copy in the other split: no count of exact copies is published.
    "fashion_mnist": DataFacts(
        train=_balanced(6000, mean=_around(0.2860, 0.002), std=_around(0.3530, 0.002)),
        test=_balanced(1000, mean=_around(0.2860, 0.01), std=_around(0.3530, 0.01)),
        images=_FREE,
        max_shared=70,
        min_distinct=0.995,
    ),
    "kmnist": DataFacts(
        train=_balanced(6000, mean=_around(0.1918, 0.005), std=_around(0.3483, 0.005)),
        test=_balanced(1000, mean=_around(0.1918, 0.03), std=_around(0.3483, 0.03)),
        images=_FREE,
        max_shared=70,
        min_distinct=0.995,
    ),
    # Tolerances leave room for another version of the library that scales the images.
    "digits": DataFacts(
        train=SplitFacts(
            class_counts=(143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
            mean=_around(0.158, 0.005),
            std=_around(0.293, 0.005),
        ),
        test=SplitFacts(
            class_counts=(35, 36, 35, 36, 36, 36, 36, 35, 34, 36),
            mean=_around(0.158, 0.005),
            std=_around(0.293, 0.005),
        ),
        images={
            **_CENTRED,
            "ink_mean": (0.08, 0.25),
            "ink_std": (0.2, 0.4),
            "ink_max": (200, 255),
            "ink_share": (0.15, 0.5),
        },
        max_shared=0,
        min_distinct=1,
    ),
}
