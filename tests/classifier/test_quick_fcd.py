import math

import pytest
import torch

from dcgan.classifier.network import build_classifier
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.batches import to_images
from dcgan.system.errors import BadDataError


@pytest.fixture(scope="module")
def classifier(striped_images):
    config = ClassifierConfig(epochs=10, batch_size=20)
    return trained_classifier(striped_images, config, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def quick_fcd(classifier, striped_images):
    return QuickFcd(classifier, striped_images)


@pytest.fixture
def copies(striped_images, quick_fcd):
    """Training images of the digits 0 to 9 in turn."""
    return to_images(striped_images.images[: quick_fcd.num_samples])


def given(images, labels):
    """A generator of images that were made beforehand."""
    return lambda *, count, seed: (images[:count], labels)


def test_images_of_the_data_have_their_labels_if_any_and_all_modes(quick_fcd, copies, striped_images):
    labels = striped_images.labels[: len(copies)]
    metrics = quick_fcd(given(copies, labels))
    assert (metrics["train/label_error"], metrics["train/mode_coverage"]) == (0, 10)
    assert 0 < metrics["train/quick_fcd_floor"] == quick_fcd.floor
    assert metrics == quick_fcd(given(copies, labels))
    assert "train/label_error" not in quick_fcd(given(copies, None))


def test_one_digit_for_all_is_seen(quick_fcd, copies, striped_images):
    labels = striped_images.labels[: len(copies)]
    metrics = quick_fcd(given(copies[3::10].repeat_interleave(10, dim=0), labels))
    assert metrics["train/mode_coverage"] == 1
    assert metrics["train/label_error"] == pytest.approx(0.9)
    assert metrics["train/quick_fcd"] > 5 * quick_fcd(given(copies, labels))["train/quick_fcd"]


def test_images_that_are_not_finite_have_no_finite_metric(quick_fcd, copies):
    metrics = quick_fcd(given(copies * math.nan, None))
    assert list(metrics) == ["train/quick_fcd"]
    assert math.isnan(metrics["train/quick_fcd"])


def test_a_classifier_that_is_not_finite_is_refused(striped_images):
    broken = build_classifier().eval()
    broken.head.weight.data.fill_(math.nan)
    with pytest.raises(BadDataError, match="dvc repro --force --single-item train_classifier"):
        QuickFcd(broken, striped_images)


def test_no_image_is_in_both_the_references_and_the_floor(classifier, striped_images):
    seen = []
    hook = classifier.register_forward_pre_hook(lambda _classifier, inputs: seen.append(inputs[0]))
    QuickFcd(classifier, striped_images)
    hook.remove()
    sets = [{image.numpy().tobytes() for image in images} for images in seen]
    assert [len(each) for each in sets] == [50, 50]
    assert not sets[0] & sets[1]
