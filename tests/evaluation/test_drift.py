"""Drift tests: planted changes are found, by the test that they concern, and other real images are not."""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from scipy.stats import entropy, ks_2samp

from dcgan.data.dataset import Dataset, LabelledImages
from dcgan.evaluation import drift
from dcgan.evaluation.drift import Measured, measure_drift


@pytest.fixture
def fresh(dataset):
    """200 images of the training split, of which the reference knows nothing, and their labels."""
    return dataset.train.images.numpy()[:200].copy(), dataset.train.labels.numpy()[:200].copy()


def drifted(images, labels, dataset, classifier, seed=0) -> set[str]:
    return {test.name for test in measure_drift(images, labels, dataset, classifier, seed=seed).tests if test.drifted}


@pytest.mark.parametrize("start", range(0, 400, 80))
def test_real_images_are_no_drift(dataset, classifier, start):
    rows = slice(start, start + 80)
    assert drifted(dataset.train.images.numpy()[rows], dataset.train.labels.numpy()[rows], dataset, classifier) == set()


def blurred(images):
    small = images.reshape(len(images), 14, 2, 14, 2).mean(axis=(2, 4))
    return zoom(small, (1, 2, 2), order=1).astype(np.uint8)


PLANTED = {
    "rotated": (lambda images: np.rot90(images, axes=(1, 2)).copy(), "features"),
    "inverted": (lambda images: 255 - images, "ink_mean"),
    "noisy": (lambda images: np.maximum(images, np.random.default_rng(0).integers(0, 9, images.shape)), "ink_share"),
    "resampled": (blurred, "ink_std"),
}  # fmt: skip


@pytest.mark.parametrize("change", PLANTED)
def test_a_planted_change_is_found_with_and_without_labels(dataset, classifier, fresh, change):
    images, labels = fresh
    plant, name = PLANTED[change]
    assert name in drifted(plant(images).astype(np.uint8), labels, dataset, classifier)
    assert name in drifted(plant(images).astype(np.uint8), None, dataset, classifier)


def test_wrong_labels_are_found_by_the_classifier_alone(dataset, classifier, fresh):
    images, labels = fresh
    labels[:20] = (labels[:20] + 1) % 10
    assert drifted(images, labels, dataset, classifier) == {"label_errors"}


def test_another_mixture_of_classes_is_found(dataset, classifier, fresh):
    images, labels = fresh
    rows = labels != 7
    assert "labels" in drifted(images[rows], labels[rows], dataset, classifier)
    assert "predicted_classes" in drifted(images[rows], None, dataset, classifier)


def test_equal_arguments_give_equal_results(dataset, classifier, fresh):
    first, second = (measure_drift(*fresh, dataset, classifier, seed=3) for _ in range(2))
    assert first.tests == second.tests


def test_few_of_many_images_are_compared(dataset, classifier, fresh, monkeypatch):
    monkeypatch.setattr(drift, "MAX_COMPARED", 60)
    found = measure_drift(*fresh, dataset, classifier, seed=0)
    assert len(found.delivery) == 60
    np.testing.assert_array_equal(found.delivery.labels, fresh[1][found.rows])


def test_each_distance_is_the_published_one(dataset, classifier, fresh):
    found = measure_drift(*fresh, dataset, classifier, seed=0)
    by_name = {test.name: test.statistic for test in found.tests}
    ink = [(each.reshape(len(each), -1) / 255).mean(axis=1) for each in (fresh[0], dataset.test.images.numpy())]
    assert by_name["ink_mean"] == pytest.approx(ks_2samp(*ink).statistic)
    counts = [np.bincount(labels, minlength=10) for labels in (fresh[1], dataset.test.labels.numpy())]
    assert by_name["labels"] == pytest.approx(entropy(counts[0], counts[1] + 0.5))
    assert by_name["label_errors"] == (found.delivery.predicted != fresh[1]).mean()


def test_draws_are_runs_of_neighbours_in_the_mixture_of_the_split():
    labels = np.arange(600) % 3
    split = Measured({}, torch.zeros(600, 1), labels, labels)
    rows = drift._consecutive(split, 60, np.random.Generator(np.random.Philox(0)))
    assert len(rows) == 60
    for label in range(3):
        of_class = rows[labels[rows] == label]
        assert 8 <= len(of_class) <= 32
        assert set(np.diff(of_class) % 600) == {3}


def test_a_class_that_the_reference_happens_to_lack_is_no_infinite_divergence():
    few = drift._divergence(np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1]), num_classes=3)
    assert few == pytest.approx(entropy([1, 1, 2], [2.5, 2.5, 0.5]))


def test_one_class_has_no_tests_of_labels(dataset, classifier, fresh):
    splits = (LabelledImages(split.images, split.labels * 0) for split in (dataset.train, dataset.test))
    one = Dataset("images", "0" * 64, *splits, class_names=("all",))
    names = {test.name for test in measure_drift(fresh[0], None, one, classifier, seed=0).tests}
    assert {"ink_mean", "features"} <= names
    assert not names & {"labels", "predicted_classes", "label_errors"}
