"""Judging samples on a data set that a small classifier learns in seconds."""

import copy
import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.classifier.network import Classifier, Predictions
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig, EvaluateConfig, GatesConfig
from dcgan.data.dataset import Dataset, LabelledImages
from dcgan.evaluation.discriminator import evaluate_discriminator
from dcgan.evaluation.evaluator import Evaluator, mean_of, spread_of
from dcgan.evaluation.numbers import numbers_in
from dcgan.evaluation.quality import Quality, digit_rows, measure_quality
from dcgan.evaluation.report import describe, headline, headlines
from dcgan.gan.networks import DiscriminatorOutput, build_discriminator
from dcgan.system.errors import BadDataError, UsageError
from dcgan.tracking.gates import Judgement, apply_gates
from tiny_sampler import sampler

CLASSIFIER = ClassifierConfig(seed=0, epochs=6, batch_size=8, learning_rate=4e-3)
CONFIG = EvaluateConfig(
    seed=0, num_samples=200, num_seeds=2, num_train_on_fake=400, num_neighbour_queries=200, inception_weights=None
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """A digit is told by the place of a bright block: one of five columns, above or below."""
    rng = torch.Generator().manual_seed(0)

    def split() -> LabelledImages:
        labels = torch.arange(400) % 10
        images = torch.zeros((400, 28, 28), dtype=torch.uint8)
        for image, digit in zip(images, labels.tolist(), strict=True):
            top, left = 3 + 13 * (digit // 5), 2 + 5 * (digit % 5)
            image[top : top + 9, left : left + 4] = torch.randint(80, 256, (9, 4), generator=rng, dtype=torch.uint8)
        return LabelledImages(images, labels)

    return Dataset("digits", "d" * 64, split(), split())


@pytest.fixture(scope="module")
def classifier(dataset) -> Classifier:
    return trained_classifier(dataset.train, CLASSIFIER, device=torch.device("cpu"))


def painter(dataset: Dataset, *, variety: int = 40, noise: float = 0.0):
    """Draws test images of the digit asked for, one of `variety` by the first latent, with the second as noise."""

    def sample(latents, labels):
        digits = torch.arange(len(latents)) % 10 if labels is None else labels
        choice = (torch.special.ndtr(latents[:, 0].double()) * variety).long().clamp(max=variety - 1)
        images = dataset.test.images[10 * choice + digits].float()
        rng = torch.Generator().manual_seed(0)
        return (images + noise * torch.randn(images.shape, generator=rng)).clamp(0, 255).to(torch.uint8)

    return sample


def measure(sample, classifier, dataset, *, config: EvaluateConfig = CONFIG, conditional: bool = True) -> Quality:
    return measure_quality(
        sampler(sample, conditional=conditional), classifier, dataset, config, classifier_config=CLASSIFIER
    )


@pytest.fixture(scope="module")
def quality(classifier, dataset) -> Quality:
    return measure(painter(dataset), classifier, dataset)


def report_of(quality: Quality, dataset: Dataset, config: EvaluateConfig = CONFIG, **others) -> dict:
    return describe(quality, dataset, config, classifier_sha256="c" * 64, **others)


# Refusals


def test_fewer_training_images_than_samples_are_refused(classifier, dataset):
    with pytest.raises(UsageError, match=r"evaluate\.num_samples: 401 is more than the 400 training images"):
        Evaluator(classifier, dataset, num_samples=401, seed=0)


@pytest.mark.parametrize("changes", [{"num_samples": 99}, {"num_seeds": 0}, {"num_neighbour_queries": 29}])
def test_too_few_samples_to_tell_anything_are_refused(changes):
    with pytest.raises(ValueError, match=rf"{next(iter(changes))}: .* out of range"):
        dataclasses.replace(CONFIG, **changes)


def test_a_judge_that_reads_no_finite_values_is_refused(classifier, dataset):
    broken = copy.deepcopy(classifier)
    broken.head.weight.data[0, 0] = math.nan
    with pytest.raises(BadDataError, match="not finite; run `dvc repro --force train_classifier`"):
        Evaluator(broken, dataset, num_samples=200, seed=0)


def test_a_test_split_that_repeats_the_training_split_measures_nothing(classifier, dataset):
    with pytest.raises(BadDataError, match="nothing can be measured"):
        Evaluator(classifier, dataclasses.replace(dataset, test=dataset.train), num_samples=400, seed=0)


# Quality


def test_real_images_drawn_anew_score_like_real_images(quality):
    mean, floor = mean_of(quality.scores), quality.floor
    assert mean["fcd"] < 2 * floor.fcd
    assert mean["precision"] > 0.95 * floor.precision
    assert mean["label_accuracy"] == pytest.approx(floor.label_accuracy, abs=0.05)
    assert mean["label_accuracy"] > 0.9
    assert quality.usefulness.train_on_real > 0.5
    assert quality.usefulness.train_on_fake == pytest.approx(quality.usefulness.train_on_real, abs=0.1)
    assert quality.memorisation["pixels"].samples.authenticity == pytest.approx(
        quality.memorisation["pixels"].held_out.authenticity, abs=0.1
    )


def test_noise_makes_every_headline_worse(classifier, dataset, quality):
    noisy = measure(painter(dataset, noise=60), classifier, dataset)
    clean, worse = mean_of(quality.scores), mean_of(noisy.scores)
    assert worse["fcd"] > 2 * clean["fcd"]
    assert worse["kcd"] > 2 * clean["kcd"]
    assert worse["precision"] < clean["precision"] - 0.2
    assert worse["coverage"] < clean["coverage"] - 0.2


def test_the_figures_are_those_of_the_metrics_on_the_readings(quality, classifier, dataset):
    evaluator = Evaluator(classifier, dataset, num_samples=200, seed=0)
    test = feature_statistics(evaluator.test.features)
    assert quality.scores[0].fcd == frechet_distance(feature_statistics(quality.predictions.features), test)
    threes = quality.samples.labels == 3
    of_threes = feature_statistics(evaluator.test.features[dataset.test.labels == 3])
    expected = frechet_distance(feature_statistics(quality.predictions.features[threes]), of_threes)
    assert quality.fcd_per_digit[3] == expected
    real = feature_statistics(evaluator.train.features[evaluator.chosen])
    assert quality.floor.fcd == frechet_distance(real, test)


def test_mean_and_spread_are_over_the_sampling_seeds(quality):
    first, second = (scores.fcd for scores in quality.scores)
    assert first != second
    assert mean_of(quality.scores)["fcd"] == pytest.approx((first + second) / 2)
    assert spread_of(quality.scores)["fcd"] == pytest.approx(abs(first - second))


def test_a_copier_is_not_authentic(classifier, dataset):
    def copy(latents, labels):
        return painter(Dataset("digits", "", dataset.train, dataset.train))(latents, labels)

    copied = measure(copy, classifier, dataset)
    for space in ("pixels", "features"):
        figures = copied.memorisation[space]
        assert figures.samples.authenticity == 0
        assert figures.samples.median_distance == 0
        assert figures.held_out.authenticity > 0.2


def test_an_unconditional_generator_is_judged_without_digits_asked_for(classifier, dataset):
    quality = measure(painter(dataset), classifier, dataset, conditional=False)
    report = report_of(quality, dataset)
    assert (report["label_accuracy"], report["train_on_fake"], report["label_accuracy_per_class"]) == (None, None, None)
    assert len(report["fcd_per_digit"]) == 10
    assert "label_accuracy" not in headlines(report)["samples"]
    assert "label_accuracy" not in headlines(report)["real_images"]


def test_a_digit_that_is_never_drawn_has_no_distance_and_a_black_row(quality):
    def only_twos(predictions: Predictions) -> Predictions:
        logits = torch.zeros_like(predictions.logits)
        logits[:, 2] = 1
        return Predictions(predictions.features, logits)

    unasked = dataclasses.replace(
        quality,
        predictions=only_twos(quality.predictions),
        samples=dataclasses.replace(quality.samples, labels=None),
    )
    rows = digit_rows(unasked, columns=5).reshape(10, 5, 28, 28)
    assert [int(row.max() > 0) for row in rows] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]


def test_rows_go_from_the_surest_sample_of_each_digit_to_the_least_sure(quality):
    rows = digit_rows(quality, columns=4).reshape(10, 4, 28, 28)
    probabilities = quality.predictions.logits.softmax(dim=1)
    for digit in (0, 7):
        mine = (quality.samples.labels == digit).nonzero().squeeze(1)
        surest, least = (mine[pick(probabilities[mine, digit])] for pick in (torch.argmax, torch.argmin))
        assert torch.equal(rows[digit, 0], quality.samples.pixels[surest])
        assert torch.equal(rows[digit, -1], quality.samples.pixels[least])


# Collapse


def test_a_collapsed_generator_fails_the_gate_by_name(classifier, dataset, quality):
    """One image a digit is read as asked every time and has equal shares: only its lack of variety tells."""
    gates = GatesConfig(
        fcd_over_floor=None, label_accuracy=0.9, min_class_share=0.07, precision_over_floor=0.5, recall_over_floor=0.5
    )
    collapsed = measure(painter(dataset, variety=1), classifier, dataset)
    for judged, failing in ((quality, []), (collapsed, ["recall_over_floor"])):
        judgement = Judgement.from_report(report_of(judged, dataset), path="evaluation.json")
        assert [gate.name for gate in apply_gates(gates, judgement) if not gate.holds] == failing


# Discriminator and report


@pytest.fixture(scope="module")
def figures(model_config, dataset, quality):
    discriminator = build_discriminator(model_config).eval()
    return evaluate_discriminator(discriminator, model_config, quality.samples, dataset, seed=0)


def test_an_untrained_discriminator_knows_nothing_but_its_features_tell_digits(figures):
    assert figures.roc_auc == pytest.approx(0.5, abs=0.2)
    assert figures.brier_score == pytest.approx(0.25, abs=0.05)
    (all_labels, hundred) = figures.probes
    assert (all_labels.num_labels, hundred.num_labels) == (400, 100)  # 1,000 labels are not there to be had
    assert all_labels.discriminator > 0.5
    assert all_labels.pixels >= hundred.pixels > 0.5


def test_a_discriminator_that_learnt_the_training_images_by_heart_has_a_gap(model_config, dataset, quality):
    """Its logit is the image's mean, and its training images are brighter."""

    class Brightness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = torch.nn.Conv2d(1, 2, 1)

        def forward(self, images, _labels):
            return DiscriminatorOutput(images.mean(dim=(1, 2, 3)))

    brighter = dataclasses.replace(
        dataset, train=LabelledImages(dataset.train.images.clamp(min=51), dataset.train.labels)
    )
    figures = evaluate_discriminator(Brightness().eval(), model_config, quality.samples, brighter, seed=0)
    assert figures.overfitting_gap == pytest.approx(0.4 * 0.93, abs=0.05)


def test_the_report_is_json_and_every_number_in_it_is_a_metric(quality, dataset, figures):
    report = json.loads(json.dumps(report_of(quality, dataset, discriminator=figures), allow_nan=False))
    metrics = numbers_in(report)
    assert metrics["evaluation/fcd"] == report["fcd"]
    assert metrics["evaluation/fcd_per_digit/3"] == report["fcd_per_digit"][3]
    assert metrics["evaluation/discriminator/probes/100/pixels"] == report["discriminator"]["probes"]["100"]["pixels"]
    leaves = json.dumps(report).replace('"', "").replace("{", ",").replace("[", ",").split(",")
    numbers = [leaf for leaf in leaves if re.search(r"(^|: )\s*-?\d[\d.e-]*[\]}\s]*$", leaf)]
    assert len(metrics) == len(numbers)


def test_no_figure_of_the_samples_is_without_its_count_and_its_floor(quality, dataset):
    report = report_of(quality, dataset)
    assert (report["num_samples"], report["num_seeds"], report["num_test_images"]) == (200, 2, 400)
    assert report["num_train_on_fake"] == 400
    assert {each["num_queries"] for each in report["memorisation"].values()} == {200}
    samples, floor = headlines(report).values()
    assert samples.keys() == floor.keys() > {"num_samples", "fcd", "recall", "train_on_fake", "authenticity"}
    assert (samples["recall"], floor["recall"]) == (report["recall"], report["recall_floor"])
    assert "on 200 samples a seed" in headline(report)
    assert f"spread {report['fcd_spread']:.3f} over 2 sampling seeds" in headline(report)
    alone = dataclasses.replace(quality, scores=quality.scores[:1])
    assert report_of(alone, dataset)["fcd_spread"] is None
    assert "spread" not in headline(report_of(alone, dataset))
    assert np.isfinite([*samples.values(), *floor.values()]).all()
