"""Measuring samples, on a data set that a small classifier learns in seconds."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.classifier.network import classify_pixels
from dcgan.config.schema import EvaluateConfig, GatesConfig
from dcgan.data.dataset import Dataset
from dcgan.evaluation.evaluator import Evaluator, summarise
from dcgan.evaluation.metrics.pixels import pixel_statistics
from dcgan.evaluation.numbers import numbers_in
from dcgan.evaluation.quality import Quality, measure_quality
from dcgan.evaluation.report import HEADLINES, PIXEL_HEADLINES, headline_metrics, summary_line
from dcgan.evaluation.samples import Samples
from dcgan.evaluation.witness import Witness
from dcgan.system.errors import BadDataError, UsageError
from dcgan.tracking.gates import EvaluationFigures, apply_gates
from tiny_sampler import sampler

CONFIG = EvaluateConfig(
    num_samples=200,
    num_seeds=2,
    num_train_on_fake=400,
    num_neighbour_queries=200,
    num_two_sample=200,
    two_sample_epochs=10,
)

SIZE_AND_PLACE = ["longest_side", "longest_side_20", "center_row", "center_column", "center_spread"]


def painter(dataset: Dataset, *, variety: int = 40, noise: float = 0.0):
    """Draws test images of the label, one of `variety` by the first latent, with noise."""

    def sample(latents, labels):
        digits = torch.arange(len(latents)) % 10 if labels is None else labels
        choice = (torch.special.ndtr(latents[:, 0].double()) * variety).long().clamp(max=variety - 1)
        images = dataset.test.images[10 * choice + digits].float()
        rng = torch.Generator().manual_seed(0)
        return (images + noise * torch.randn(images.shape, generator=rng)).clamp(0, 255).to(torch.uint8)

    return sample


@pytest.fixture(scope="module")
def measure(classifier, witness, dataset, classifier_config):
    return lambda sample, **options: measure_quality(
        sampler(sample=sample, **options),
        dataset,
        CONFIG,
        classifier=classifier,
        witness=witness,
        classifier_config=classifier_config,
    )


@pytest.fixture(scope="module")
def quality(measure, dataset) -> Quality:
    return measure(painter(dataset))


# Refusals


def test_fewer_training_images_than_samples_are_refused(classifier, dataset):
    with pytest.raises(UsageError, match=r"evaluate\.num_samples: 401"):
        Evaluator(classifier, dataset, num_samples=401, seed=0)


@pytest.mark.parametrize("changes", [{"num_samples": 99}, {"num_seeds": 0}, {"num_neighbour_queries": 29}])
def test_too_few_samples_to_measure_are_refused(changes):
    with pytest.raises(ValueError, match=rf"{next(iter(changes))}: "):
        dataclasses.replace(CONFIG, **changes)


def test_a_classifier_that_is_not_finite_is_refused(classifier, dataset):
    broken = copy.deepcopy(classifier)
    broken.head.weight.data[0, 0] = math.nan
    with pytest.raises(BadDataError, match="dvc repro --force --single-item train_classifier"):
        Evaluator(broken, dataset, num_samples=200, seed=0)


def test_a_witness_with_one_answer_for_all_images_is_refused(witness, dataset):
    constant = copy.deepcopy(witness)
    for weight in constant.body[-2].parameters():
        weight.data.zero_()
    with pytest.raises(BadDataError, match="dvc repro --force --single-item train_witness"):
        Witness(constant, dataset, chosen=torch.arange(200))


def test_a_test_split_equal_to_the_training_split_is_refused(classifier, dataset):
    with pytest.raises(BadDataError, match="nothing can be measured"):
        Evaluator(classifier, dataclasses.replace(dataset, test=dataset.train), num_samples=400, seed=0)


# Metrics


def test_other_real_images_score_like_real_images(quality):
    report = quality.report
    assert report["fcd"] < 2 * report["fcd_floor"]
    assert report["precision"] > 0.95 * report["precision_floor"]
    assert report["label_accuracy"] == pytest.approx(report["label_accuracy_floor"], abs=0.05)
    assert report["label_accuracy"] > 0.9
    assert report["train_on_fake_floor"] > 0.5
    assert report["train_on_fake"] == pytest.approx(report["train_on_fake_floor"], abs=0.1)
    pixels = report["memorisation"]["pixels"]
    assert pixels["authenticity"] == pytest.approx(pixels["authenticity_floor"], abs=0.1)


def test_noise_makes_every_metric_worse(measure, dataset, quality):
    clean, worse = quality.report, measure(painter(dataset, noise=60)).report
    assert worse["fcd"] > 2 * clean["fcd"]
    assert worse["kcd"] > 2 * clean["kcd"]
    assert worse["precision"] < clean["precision"] - 0.2
    assert worse["coverage"] < clean["coverage"] - 0.2
    assert worse["witness_fcd"] > 2 * clean["witness_fcd"]
    assert worse["two_sample_accuracy"] > clean["two_sample_accuracy"] + 0.2


def test_the_witness_measures_what_the_classifier_does_by_its_own_features(quality, witness, dataset):
    samples, real = (classify_pixels(witness, pixels) for pixels in (quality.samples.pixels, dataset.test.images))
    expected = frechet_distance(*(feature_statistics(each.features) for each in (samples, real)))
    assert quality.report["witness_fcd"] == expected != quality.report["fcd"]
    assert quality.report["witness_fcd_over_floor"] == expected / quality.report["witness_fcd_floor"]
    assert quality.report["witness_accuracy"] == (real.logits.argmax(dim=1) == dataset.test.labels).double().mean()


def test_a_copier_is_not_authentic(measure, dataset):
    copied = measure(painter(dataclasses.replace(dataset, test=dataset.train)))
    for metrics in copied.report["memorisation"].values():
        assert (metrics["authenticity"], metrics["median_distance"]) == (0, 0)
        assert metrics["authenticity_floor"] > 0.2


def test_one_image_a_digit_fails_the_gate_of_recall(measure, dataset, quality):
    """It has every label right and equal shares: only its lack of variety tells."""
    gates = GatesConfig(
        **dict.fromkeys(("fcd_over_floor", "witness_fcd_over_floor", "two_sample_accuracy")),
        label_accuracy=0.9,
        precision_over_floor=0.5,
        recall_over_floor=0.5,
    )
    collapsed = measure(painter(dataset, variety=1))
    for measured, failing in ((quality, []), (collapsed, ["recall_over_floor"])):
        report = measured.report | {"classifier_sha256": "c" * 64}
        figures = EvaluationFigures.from_report(report, path="evaluation.json")
        assert [gate.name for gate in apply_gates(gates, figures) if not gate.passed] == failing


def test_the_report_has_the_metrics_of_the_classifiers_features(quality, classifier, dataset):
    evaluator = Evaluator(classifier, dataset, num_samples=200, seed=0)
    test, real = (feature_statistics(each.features) for each in (evaluator.test, evaluator.train))
    ours = evaluator.score(quality.samples, quality.predictions)
    assert ours.fcd == frechet_distance(feature_statistics(quality.predictions.features), test)
    chosen = feature_statistics(evaluator.train.features[evaluator.chosen])
    assert quality.report["fcd_floor"] == frechet_distance(chosen, test) != frechet_distance(real, test)
    threes = quality.predictions.features[quality.samples.labels == 3]
    real_threes = evaluator.test.features[dataset.test.labels == 3]
    expected = frechet_distance(feature_statistics(threes), feature_statistics(real_threes))
    assert quality.report["fcd_per_class"][3] == expected
    predicted = quality.predictions.logits.argmax(dim=1)[quality.samples.labels == 3]
    assert quality.report["label_accuracy_per_class"][3] == (predicted == 3).double().mean()
    assert quality.confusion.sum(axis=1).tolist() == [20] * 10


def test_pixel_statistics_are_of_samples_test_images_and_the_training_images_of_the_floor(quality, classifier, dataset):
    chosen = Evaluator(classifier, dataset, num_samples=200, seed=0).chosen
    sets = {"samples": quality.samples.pixels, "test": dataset.test.images, "train": dataset.train.images[chosen]}
    assert quality.report["pixels"] == {name: pixel_statistics(images) for name, images in sets.items()}


def test_samples_without_ink_have_neither_size_nor_place(measure, dataset):
    """Haze alone, as of a generator that has learnt the background and nothing else."""
    haze = measure(lambda latents, labels: (painter(dataset)(latents, labels) > 100).byte()).report["pixels"]["samples"]
    assert [name for name, value in haze.items() if value is None] == SIZE_AND_PLACE
    assert haze["haze"] > 0


def test_mean_and_spread_are_over_the_sampling_seeds(classifier, dataset):
    evaluator = Evaluator(classifier, dataset, num_samples=200, seed=0)
    first = evaluator.floor
    second = dataclasses.replace(first, fcd=first.fcd + 2, label_accuracy=None)
    summary = summarise([first, second], first)
    assert (summary["fcd"], summary["fcd_spread"]) == pytest.approx((first.fcd + 1, 2))
    assert summary["fcd_over_floor"] == pytest.approx(1 + 1 / first.fcd)
    assert (summary["label_accuracy"], summary["label_accuracy_floor"]) == (None, first.label_accuracy)
    assert summarise([first], first)["fcd_spread"] is None


def test_a_class_that_does_not_occur_has_no_distance(quality, classifier, dataset):
    evaluator = Evaluator(classifier, dataset, num_samples=200, seed=0)
    twos = torch.zeros_like(quality.predictions.logits)
    twos[:, 2] = 1
    unlabelled = dataclasses.replace(quality.samples, labels=None)
    figures = evaluator.per_class(unlabelled, quality.predictions._replace(logits=twos))
    for name in ("fcd", "recall"):
        assert [digit for digit in range(10) if math.isfinite(figures[name][digit])] == [2]


def test_a_digit_without_variety_has_a_low_recall_of_its_own(quality, classifier, dataset):
    """Its samples are five of its test images, again and again."""
    evaluator = Evaluator(classifier, dataset, num_samples=200, seed=0)
    threes = torch.nonzero(dataset.test.labels == 3).flatten()
    chosen = torch.arange(len(dataset.test))
    chosen[threes] = threes[torch.arange(len(threes)) % 5]
    samples = Samples(pixels=dataset.test.images[chosen], labels=dataset.test.labels)
    recall = evaluator.per_class(samples, evaluator.predict(samples.pixels))["recall"]
    assert recall[3] < 0.5
    assert np.delete(recall, 3).tolist() == [1] * 9


# Report


def test_an_unconditional_generator_has_no_metrics_of_labels(measure, dataset):
    quality = measure(painter(dataset), conditional=False)
    missing = ("label_accuracy", "train_on_fake", "train_on_fake_floor", "label_accuracy_per_class")
    assert [quality.report[name] for name in missing] == [None] * 4
    assert quality.confusion is None
    assert len(quality.report["fcd_per_class"]) == 10
    assert set(headline_metrics(quality.report)) == {*HEADLINES, *PIXEL_HEADLINES} - {"label_accuracy"}


def test_the_report_is_json_and_every_number_in_it_a_metric(quality):
    report = json.loads(json.dumps(quality.report, allow_nan=False))
    metrics = numbers_in(report)
    assert metrics["evaluation/fcd"] == report["fcd"]
    assert metrics["evaluation/fcd_per_class/3"] == report["fcd_per_class"][3]
    assert metrics["evaluation/memorisation/pixels/num_queries"] == 200
    assert metrics["evaluation/pixels/samples/zeros"] == report["pixels"]["samples"]["zeros"]
    assert report["fid"] is None
    assert "evaluation/fid" not in metrics


def test_headlines_and_summary_are_those_of_the_report(quality):
    report = quality.report
    assert (report["num_samples"], report["num_seeds"], report["num_test_images"]) == (200, 2, 400)
    assert report["num_train_on_fake"] == 400
    headlines = headline_metrics(report)
    assert list(headlines) == [*HEADLINES, *PIXEL_HEADLINES]
    assert headlines.items() <= (report | report["pixels"]["samples"]).items()
    assert f"{report['fcd_spread']:.3f} over 2 " in summary_line(report)
    assert "spread" not in summary_line(report | {"num_seeds": 1, "fcd_spread": None})
