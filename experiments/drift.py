"""What `dcgan check-data` finds in planted changes and in clean splits: `python experiments/drift.py`.

Prints the table in docs/drift.md. Needs the workspace's MNIST and classifier (`dvc repro validate train_classifier`).
"""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan.classifier.network import load_classifier
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.config.workspace import CLASSIFIER, PARAMS
from dcgan.data.dataset import Dataset
from dcgan.data.dataset_file import load_dataset
from dcgan.data.expectations import check_images
from dcgan.data.image_table import split_table
from dcgan.data.specs import KNOWN_DATA
from dcgan.evaluation.drift import measure_drift
from dcgan.system.exit import run_stage

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
PLANTED_IN = 2000
"""The first so many test images are changed."""


def main() -> None:
    """Print the table."""
    params, dataset = load_params(PARAMS), load_dataset()
    classifier = load_classifier(CLASSIFIER, device=prepare_device(params.train), num_classes=dataset.num_classes)
    print(
        "| delivery | images | expectations that fail | drift tests that fail, with the statistic and its threshold |"
    )
    print("|---|---|---|---|")
    for name, images, labels in deliveries(dataset):
        findings = check_images(split_table("delivery", images, labels), KNOWN_DATA["mnist"])
        tests = measure_drift(images, labels, dataset, classifier, seed=params.evaluate.seed).tests
        failed = [finding for finding in findings if not finding.success]
        drifted = [f"{test.name} {test.statistic:.3f} > {test.threshold:.3f}" for test in tests if test.drifted]
        found = "; ".join(drifted) or "none"
        print(f"| {name} | {len(images):,} | {len(failed)} of {len(findings)} | {found} |", flush=True)


def deliveries(dataset: Dataset) -> Iterator[tuple[str, Images, Labels]]:
    """Five clean splits, then planted changes: name, images and labels."""
    rng = np.random.default_rng(0)
    train, test = ((split.images.numpy(), split.labels.numpy()) for split in (dataset.train, dataset.test))
    for name, (images, labels), rows in (
        ("all test images", test, slice(None)),
        ("test images, first half", test, slice(5000)),
        ("test images, second half", test, slice(5000, None)),
        ("training images 20,000 to 22,000", train, slice(20_000, 22_000)),
        ("500 training images, drawn", train, rng.permutation(len(train[0]))[:500]),
    ):
        yield f"clean: {name}", images[rows], labels[rows]
    images, labels = (part[:PLANTED_IN] for part in test)
    noise = rng.normal(size=images.shape)
    yield "rotated by 90°", np.rot90(images, axes=(1, 2)).copy(), labels
    yield "rotated by 10°", each(images, lambda image: image.rotate(10, Image.Resampling.BILINEAR)), labels
    yield "inverted", 255 - images, labels
    yield "noisy: deviation 8 on every pixel", np.clip(images + 8 * noise, 0, 255).astype(np.uint8), labels
    inked = np.clip(images + 30 * noise, 1, 255).astype(np.uint8)
    yield "noisy: deviation 30 on ink alone", np.where(images > 0, inked, 0), labels
    for size in (14, 22):
        yield f"resampled to {size}×{size} and back", each(images, resampled, size), labels
    drawn = rng.integers(PLANTED_IN, size=PLANTED_IN)
    yield "resampled with replacement", images[drawn], labels[drawn]
    rare = (labels != 8) | (rng.random(PLANTED_IN) < 0.4)
    yield "resampled: 6 of 10 eights missing", images[rare], labels[rare]
    wrong = rng.random(PLANTED_IN) < 0.03
    yield (
        "relabelled: 3 % of the labels",
        images,
        np.where(wrong, (labels + rng.integers(1, 10, PLANTED_IN)) % 10, labels),
    )
    swapped = np.where(np.isin(labels, (4, 9)), 13 - labels, labels)
    yield "relabelled: 4 and 9 exchanged", images, swapped


def each(images: Images, change: Callable[..., Image.Image], *arguments: object) -> Images:
    """Every image changed by a function of Pillow's images."""
    return np.stack([np.asarray(change(Image.fromarray(image), *arguments)) for image in images])


def resampled(image: Image.Image, size: int) -> Image.Image:
    """Scaled to another size, and back."""
    return image.resize((size, size), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)


if __name__ == "__main__":
    run_stage(main)
