import dataclasses
import math

import pytest
import torch

from dcgan.classifier.network import Classifier
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.batches import to_images
from dcgan.gan.state import build_state
from dcgan.system.errors import BadDataError
from quick_judging import quick_judge

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def classifier(striped_images):
    config = ClassifierConfig(seed=0, epochs=10, batch_size=20, learning_rate=3e-3)
    return trained_classifier(striped_images, config, device=CPU)


@pytest.fixture
def evaluator(classifier, striped_images, model_config):
    return quick_judge(classifier, striped_images, model_config)


class Copier(torch.nn.Module):
    """Draws, for each digit asked for, a data image of the digit that `read_as` says."""

    def __init__(self, data, read_as=lambda digits: digits):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self._images = torch.stack([to_images(data.images[data.labels == digit])[0] for digit in range(10)])
        self._read_as = read_as

    def forward(self, latents, labels):
        return self._images[self._read_as(labels)]


def test_digits_of_the_data_are_read_as_asked_and_near_it(evaluator, striped_images):
    figures = evaluator(Copier(striped_images).eval())
    assert figures["train/label_error"] == 0
    assert figures["train/mode_coverage"] == 10
    assert figures["train/quick_fcd_floor"] > 0


def test_one_digit_for_all_is_seen(evaluator, striped_images):
    one = Copier(striped_images, lambda labels: torch.full_like(labels, 3)).eval()
    figures = evaluator(one)
    assert figures["train/mode_coverage"] == 1
    assert figures["train/label_error"] == pytest.approx(0.9)
    assert figures["train/quick_fcd"] > 5 * evaluator(Copier(striped_images).eval())["train/quick_fcd"]


def test_a_classifier_that_reads_no_numbers_is_told(striped_images, model_config):
    broken = Classifier().eval()
    with torch.no_grad():
        broken.head.weight.fill_(math.nan)
    with pytest.raises(BadDataError, match="dvc repro --force train_classifier"):
        QuickFcd(broken, striped_images)


def test_an_unconditional_generator_is_asked_for_nothing(classifier, striped_images, unconditional_config):
    evaluator = quick_judge(classifier, striped_images, unconditional_config.model)
    assert "train/label_error" not in evaluator(build_state(unconditional_config, device=CPU).generator_ema)


def test_the_same_generator_gets_the_same_figures_whatever_was_drawn_before(evaluator, gan_config):
    generator = build_state(gan_config, device=CPU).generator_ema
    first = evaluator(generator)
    torch.rand(7)
    assert evaluator(generator) == first
    assert all(math.isfinite(value) for value in first.values())


def test_no_image_is_both_reference_and_floor(classifier, striped_images, model_config):
    seen = []
    hook = classifier.register_forward_pre_hook(lambda _classifier, inputs: seen.append(inputs[0]))
    QuickFcd(classifier, striped_images)
    hook.remove()
    sets = [{image.numpy().tobytes() for image in images} for images in seen]
    assert [len(each) for each in sets] == [50, 50]
    assert not sets[0] & sets[1]


def test_a_generator_that_draws_no_numbers_has_no_finite_figure(evaluator, gan_config):
    generator = build_state(dataclasses.replace(gan_config), device=CPU).generator_ema
    with torch.no_grad():
        for weight in generator.parameters():
            weight.fill_(math.nan)
    assert not math.isfinite(evaluator(generator)["train/quick_fcd"])
