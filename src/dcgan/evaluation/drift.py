"""Drift: how far a delivery of images is from the data set, beside how far real images are from each other.

Every statistic is a distance between the delivery and the test images, that no network learnt from. Its threshold comes
from real images in the delivery's place: as many, drawn from the training images and from the test images. So what
differs between real images by nature is no drift, and a threshold is as strict as the size of the delivery allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.special import rel_entr
from torch import Tensor

from dcgan.classifier.network import Classifier, classify_pixels
from dcgan.data.dataset import Dataset, LabelledImages
from dcgan.data.image_table import measure_images
from dcgan.evaluation.metrics.kernel import kernel_distance

NUM_DRAWS = 50
"""Of real images from each split."""
DEVIATIONS = 5
"""A threshold is so many standard deviations of the draws above their mean. For a Kolmogorov-Smirnov distance between
equal distributions that is exceeded twice in ten thousand times (its distribution by Kolmogorov 1933)."""
LEAST = 0.01
"""Least threshold, but of the kernel distance: what concerns less than one image in a hundred is no drift."""
MAX_COMPARED, MAX_REFERENCE, MAX_KERNEL = 5_000, 10_000, 2_000
"""Images of the delivery, of each split of the data set, and of either in the kernel test, whose time is quadratic."""
MIN_COMPARED = 50
"""Fewer images differ by chance as much as other data does."""

KOLMOGOROV_SMIRNOV = "Kolmogorov-Smirnov distance"
KERNEL = "kernel distance (squared MMD)"
DIVERGENCE = "Kullback-Leibler divergence in nats"
SHARE = "share of the images"


class DriftTest(NamedTuple):
    """A statistic of the delivery beside the same of real images."""

    name: str
    """The quantity that is compared: a column of `measure_images`, `features`, `predicted_classes`, `labels`, or
    `label_errors`."""
    kind: str
    """How its distance is computed."""
    statistic: float
    threshold: float
    real_mean: float
    """Of the draws from the split that sets the threshold."""
    real_std: float

    @property
    def drifted(self) -> bool:
        """Whether the delivery is further away than real images are."""
        return self.statistic > self.threshold


@dataclass(frozen=True)
class Measured:
    """N images by all that is compared."""

    columns: Mapping[str, NDArray[np.float64]]
    """As `measure_images` has them; -1 where a blank image has no value."""
    features: Tensor
    """The classifier's, [N, 128]."""
    predicted: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    """None: the delivery has none."""

    @classmethod
    def of(cls, images: NDArray[np.uint8], labels: NDArray[np.int64] | None, classifier: Classifier) -> Self:
        """Measure images uint8 [N, 28, 28]."""
        predictions = classify_pixels(classifier, torch.from_numpy(images))
        columns = {name: np.nan_to_num(values, nan=-1) for name, values in measure_images(images).items()}
        return cls(columns, predictions.features, predictions.logits.argmax(dim=1).numpy(), labels)

    def __len__(self) -> int:
        return len(self.predicted)

    def __getitem__(self, rows: NDArray[np.int64]) -> "Measured":
        columns = {name: values[rows] for name, values in self.columns.items()}
        labels = None if self.labels is None else self.labels[rows]
        return Measured(columns, self.features[rows], self.predicted[rows], labels)


class Drift(NamedTuple):
    """The tests of a delivery, and what they compared."""

    tests: Sequence[DriftTest]
    rows: NDArray[np.int64]
    """The images of the delivery that were compared."""
    delivery: Measured
    reference: Measured


def measure_drift(
    images: NDArray[np.uint8], labels: NDArray[np.int64] | None, dataset: Dataset, classifier: Classifier, *, seed: int
) -> Drift:
    """Compare a delivery, images [N, 28, 28] and perhaps labels [N], with a data set.

    At most `MAX_COMPARED` images of the delivery are compared, drawn by the seed; equal arguments give equal results.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    rows = _chosen(len(images), MAX_COMPARED, rng)
    delivery = Measured.of(images[rows], None if labels is None else labels[rows], classifier)
    test, train = (_measured_split(split, classifier, rng) for split in (dataset.test, dataset.train))
    found = _statistics(delivery, test, num_classes=dataset.num_classes)
    draws = [
        [
            _statistics(split[_consecutive(split, len(delivery), rng)], test, num_classes=dataset.num_classes)
            for _ in range(NUM_DRAWS)
        ]
        for split in (train, test)
    ]
    tests = [
        _test(name, kind, value, [[draw[name, kind] for draw in of_split] for of_split in draws], size=len(delivery))
        for (name, kind), value in found.items()
    ]
    return Drift(tests, rows, delivery, test)


def _chosen(count: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most so many of `count` rows, in their order."""
    return np.sort(rng.permutation(count)[:most])


def _measured_split(split: LabelledImages, classifier: Classifier, rng: np.random.Generator) -> Measured:
    rows = _chosen(len(split), MAX_REFERENCE, rng)
    return Measured.of(split.images.numpy()[rows], split.labels.numpy()[rows], classifier)


def _statistics(sample: Measured, reference: Measured, *, num_classes: int) -> dict[tuple[str, str], float]:
    """Every distance of some images from the reference, by what is compared and how."""
    found = {
        (name, KOLMOGOROV_SMIRNOV): float(stats.ks_2samp(values, reference.columns[name], method="asymp").statistic)
        for name, values in sample.columns.items()
    }
    found["features", KERNEL] = kernel_distance(_thinned(sample.features), _thinned(reference.features))
    if num_classes > 1:
        found["predicted_classes", DIVERGENCE] = _divergence(
            sample.predicted, reference.predicted, num_classes=num_classes
        )
        if sample.labels is not None and reference.labels is not None:
            found["labels", DIVERGENCE] = _divergence(sample.labels, reference.labels, num_classes=num_classes)
            found["label_errors", SHARE] = float((sample.predicted != sample.labels).mean())
    return found


def _thinned(features: Tensor) -> Tensor:
    """At most MAX_KERNEL of the rows, at equal distances: of images in the order of their classes, all classes."""
    return features[torch.linspace(0, len(features) - 1, min(len(features), MAX_KERNEL)).round().long()]


def _consecutive(split: Measured, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of so many images that follow each other within their classes, of classes as frequent as in the split.

    Images of one writer stand next to each other, so that neighbours differ less than images drawn one by one: a block
    bootstrap (Künsch 1989). Every class starts at the same share of its images, and goes on from the first one after
    the last.
    """
    assert split.labels is not None
    start, drawn = rng.random(), split.labels[rng.integers(len(split), size=size)]
    rows = []
    for label, count in enumerate(np.bincount(drawn)):
        of_class = np.flatnonzero(split.labels == label)
        rows.append(of_class[(int(start * len(of_class)) + np.arange(count)) % max(len(of_class), 1)])
    return np.concatenate(rows)


def _divergence(sample: NDArray[np.int64], reference: NDArray[np.int64], *, num_classes: int) -> float:
    """Of the classes' shares in a sample from those in the reference.

    Every class has half an image more in the reference (Krichevsky & Trofimov 1981): one that it lacks by chance, as
    classes that are rarely predicted, would make the divergence infinite.
    """
    counts, known = (np.bincount(each, minlength=num_classes) for each in (sample, reference))
    return float(rel_entr(counts / len(sample), (known + 0.5) / (len(reference) + 0.5 * num_classes)).sum())


def _test(name: str, kind: str, statistic: float, draws: Sequence[Sequence[float]], *, size: int) -> DriftTest:
    """The statistic of so many images beside the draws from the split whose threshold is higher."""
    least, step = (0.0, 0.0) if kind == KERNEL else (LEAST, 1 / size)  # a share of so many images has such steps
    real = [(float(np.mean(values)), float(np.std(values, ddof=1))) for values in draws]
    threshold, mean, std = max((max(least, mean + DEVIATIONS * max(std, step)), mean, std) for mean, std in real)
    return DriftTest(name, kind, statistic, threshold, mean, std)
