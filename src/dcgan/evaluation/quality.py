"""All that is measured of a generator's samples."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan.classifier.network import Classifier, Predictions
from dcgan.config.schema import IMAGE_SIZE, NUM_CLASSES, ClassifierConfig, EvaluateConfig
from dcgan.data.dataset import Dataset
from dcgan.evaluation.evaluator import Evaluator, Scores, confusion_of, digits_of
from dcgan.evaluation.memorisation import MemorisationFigures, compare_authenticity
from dcgan.evaluation.metrics.classes import class_shares
from dcgan.evaluation.samples import Sampler, Samples, generate_samples, shuffled
from dcgan.evaluation.usefulness import UsefulnessFigures, evaluate_usefulness


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The figures of a generator; all but `scores` are of the first sampling seed."""

    scores: tuple[Scores, ...]
    """One a sampling seed."""
    floor: Scores
    """The same of real images."""
    floor_pixels: Tensor
    """The training images that the floor was measured on, uint8 [N, 28, 28]."""
    samples: Samples
    predictions: Predictions
    """What the classifier makes of the samples."""
    fcd_per_digit: NDArray[np.float64]
    fcd_floor_per_digit: NDArray[np.float64]
    class_shares: NDArray[np.float64]
    confusion: NDArray[np.int64] | None
    """Digit asked for against digit read, [10, 10]; None for an unconditional model."""
    memorisation: Mapping[str, MemorisationFigures]
    """In `pixels` and in `features`."""
    usefulness: UsefulnessFigures | None
    """None for an unconditional model, whose samples have no labels to learn from."""


def measure_quality(
    sampler: Sampler,
    classifier: Classifier,
    dataset: Dataset,
    config: EvaluateConfig,
    *,
    classifier_config: ClassifierConfig,
) -> Quality:
    """Generate samples and measure them.

    Args:
        sampler: the generator.
        classifier: in evaluation mode; its features are the reference, its device does the work.
        dataset: both splits; neither `sampler` nor `classifier` has learnt from the test split.
        config: how many samples, and from which seeds.
        classifier_config: how a classifier learns from samples.

    Raises:
        BadDataError: the generator draws one image only, or something is not finite.
        UsageError: the training set has fewer images than samples are asked for.
    """
    evaluator = Evaluator(classifier, dataset, num_samples=config.num_samples, seed=config.seed)
    sets = [
        generate_samples(sampler, count=config.num_samples, seed=config.seed + number)
        for number in range(config.num_seeds)
    ]
    all_predictions = [evaluator.predict(samples.pixels) for samples in sets]
    samples, predictions = sets[0], all_predictions[0]
    return Quality(
        scores=tuple(map(evaluator.score, sets, all_predictions)),
        floor=evaluator.floor,
        floor_pixels=dataset.train.images[evaluator.chosen],
        samples=samples,
        predictions=predictions,
        fcd_per_digit=evaluator.fcd_per_digit(samples, predictions),
        fcd_floor_per_digit=evaluator.fcd_floor_per_digit(),
        class_shares=class_shares(digits_of(predictions)),
        confusion=confusion_of(samples, predictions),
        memorisation=_measure_memorisation(samples, predictions, evaluator, dataset, config),
        usefulness=evaluate_usefulness(
            sampler,
            dataset,
            classifier_config,
            num_images=config.num_train_on_fake,
            seed=config.seed,
            device=next(classifier.parameters()).device,
        ),
    )


def _measure_memorisation(
    samples: Samples, predictions: Predictions, evaluator: Evaluator, dataset: Dataset, config: EvaluateConfig
) -> dict[str, MemorisationFigures]:
    # MNIST's test images are in order: the first half is neater than the second.
    held_out = shuffled(len(dataset.test), seed=config.seed, purpose="held out")
    pixels = [
        images.flatten(1).float() / 255
        for images in (samples.pixels, dataset.test.images[held_out], dataset.train.images)
    ]
    features = [predictions.features, evaluator.test.features[held_out], evaluator.train.features]
    return {
        space: compare_authenticity(drawn, held_out=held_out, training=training, limit=config.num_neighbour_queries)
        for space, (drawn, held_out, training) in {"pixels": pixels, "features": features}.items()
    }


def digit_rows(quality: Quality, *, columns: int) -> Tensor:
    """Ten rows of samples, one a digit, from the one that the classifier takes for it most surely to the least.

    Uint8 [10 * columns, 28, 28], at equal steps through the ranking; a digit that is never drawn has black images.
    """
    digits = quality.predictions.logits.argmax(dim=1) if quality.samples.labels is None else quality.samples.labels
    surety = quality.predictions.logits.log_softmax(dim=1).gather(1, digits.unsqueeze(1)).squeeze(1)
    rows = torch.zeros((NUM_CLASSES, columns, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
    for digit in range(NUM_CLASSES):
        mine = (digits == digit).nonzero().squeeze(1)
        if len(mine):
            ranked = mine[surety[mine].argsort(descending=True)]
            rows[digit] = quality.samples.pixels[ranked[torch.linspace(0, len(mine) - 1, columns).long()]]
    return rows.flatten(0, 1)
