import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import expit

from dcgan.config.schema import GanConfig, LossConfig, LossName, PenaltiesConfig
from dcgan.data.batches import to_images
from dcgan.data.dataset import Dataset, LabelledImages
from dcgan.evaluation.discriminator import DiscriminatorQuality, evaluate_discriminator, untrained_discriminator
from dcgan.evaluation.samples import Samples
from dcgan.gan.networks import DiscriminatorOutput, build_discriminator


class Brightness(torch.nn.Module):
    """A discriminator whose logit is the brightness of the image."""

    def __init__(self):
        super().__init__()
        self.maps = torch.nn.Conv2d(1, 2, 1)

    def forward(self, images, _labels):
        return DiscriminatorOutput(brightness(images))


def brightness(images: torch.Tensor) -> torch.Tensor:
    return 20 * (images.mean(dim=(1, 2, 3)) + 0.94)


@pytest.fixture(scope="module")
def samples(dataset) -> Samples:
    """200 training images, a bit darker than they were."""
    return Samples(pixels=(dataset.train.images[:200] * 0.98).to(torch.uint8), labels=dataset.train.labels[:200])


def evaluate(config: GanConfig, samples: Samples, dataset: Dataset, loss: LossName) -> DiscriminatorQuality:
    config = dataclasses.replace(config, loss=LossConfig(name=loss))
    return evaluate_discriminator(Brightness().eval(), config, samples, dataset, seed=0)


def test_metrics_equal_their_definitions(gan_config, samples, dataset):
    halved = dataclasses.replace(dataset, test=LabelledImages(dataset.test.images[:200], dataset.test.labels[:200]))
    report = evaluate(gan_config, samples, halved, "non_saturating").report
    real, fake = (brightness(to_images(each)).numpy() for each in (halved.test.images, samples.pixels))
    assert report["accuracy"] == pytest.approx(((real > 0).mean() + (fake <= 0).mean()) / 2)
    assert report["roc_auc"] == pytest.approx((real[:, None] > fake).mean() + (real[:, None] == fake).mean() / 2)
    brier = (np.square(1 - expit(real)).mean() + np.square(expit(fake)).mean()) / 2
    assert report["brier_score"] == pytest.approx(brier, rel=1e-5)
    assert 0.5 < report["accuracy"] < report["roc_auc"] < 1
    assert (report["test_real_logits"], report["fake_logits"]) == pytest.approx((real.mean(), fake.mean()), rel=1e-5)


MEANINGFUL = {
    "non_saturating": {"accuracy", "calibration_error", "brier_score"},
    "minimax": {"accuracy", "calibration_error", "brier_score"},
    "least_squares": {"accuracy"},
    "hinge": {"accuracy"},
    "wasserstein": set(),
    "relativistic": set(),
    "boundary_equilibrium": set(),
}


@pytest.mark.parametrize("loss", MEANINGFUL)
def test_only_metrics_with_a_meaning_under_the_loss_are_reported(gan_config, samples, dataset, loss):
    quality = evaluate(gan_config, samples, dataset, loss)
    assert {name for name in MEANINGFUL["minimax"] if quality.report[name] is not None} == MEANINGFUL[loss]
    assert (quality.reliability is not None) == ("brier_score" in MEANINGFUL[loss])
    assert quality.report["roc_auc"] > 0.5


def test_real_and_fake_are_measured_in_equal_numbers(gan_config, samples, dataset):
    quality = evaluate(gan_config, samples, dataset, "non_saturating")
    assert quality.report["num_images"] == 200
    few = Samples(pixels=samples.pixels.repeat(3, 1, 1), labels=samples.labels.repeat(3))
    assert evaluate(gan_config, few, dataset, "non_saturating").report["num_images"] == 400


def test_an_untrained_discriminator_knows_nothing_but_its_features_tell_digits(gan_config, samples, dataset):
    real_samples = Samples(pixels=dataset.train.images, labels=dataset.train.labels)
    discriminator = build_discriminator(gan_config.model).eval()
    report = evaluate_discriminator(discriminator, gan_config, real_samples, dataset, seed=0).report
    assert report["roc_auc"] == pytest.approx(0.5, abs=0.1)
    assert report["brier_score"] == pytest.approx(0.25, abs=0.05)
    assert list(report["probes"]) == ["400", "100"]  # there are no 1,000 labels
    assert report["probes"]["400"]["discriminator"] > 0.5
    assert report["probes"]["400"]["pixels"] >= report["probes"]["100"]["pixels"] > 0.5


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_the_untrained_network_of_the_probe_has_the_layers_of_the_trained_one(gan_config, dataset, spectral_norm):
    config = dataclasses.replace(gan_config, penalties=PenaltiesConfig(spectral_norm=spectral_norm))
    trained = build_discriminator(config.model, spectral_norm=spectral_norm)
    untrained = untrained_discriminator(config, dataset.train.images, seed=0, device=torch.device("cpu"))
    assert untrained.state_dict().keys() == trained.state_dict().keys()
    assert not untrained.training


def test_memorised_training_images_make_a_generalization_gap(gan_config, samples, dataset):
    """The training images are brighter, and so are their logits."""
    train = LabelledImages(dataset.train.images.clamp(min=51), dataset.train.labels)
    report = evaluate(gan_config, samples, dataclasses.replace(dataset, train=train), "non_saturating").report
    assert report["generalization_gap"] == report["train_real_logits"] - report["test_real_logits"]
    assert report["generalization_gap"] == pytest.approx(20 * 0.4 * 0.94, abs=1)
