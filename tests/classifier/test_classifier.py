import dataclasses

import pytest
import torch

from dcgan.classifier.network import FEATURE_DIM, classify_images, compute_accuracy, rotated
from dcgan.classifier.training import (
    build_classifier_state,
    one_cycle,
    shifted,
    train_classifier,
    trained_classifier,
)
from dcgan.config.schema import ClassifierConfig
from dcgan.data.batches import to_images
from dcgan.data.dataset import LabelledImages
from dcgan.system.errors import DivergedError
from support import CPU

CONFIG = ClassifierConfig(epochs=8, batch_size=20)


@pytest.fixture(scope="module")
def classifier(striped_images):
    return trained_classifier(striped_images, CONFIG, device=CPU)


def test_it_learns_what_can_be_learnt(classifier, striped_images):
    assert compute_accuracy(classifier, striped_images, device=CPU) > 0.9


def test_features_are_the_input_of_the_head(classifier, striped_images):
    images = to_images(striped_images.images)
    predictions = classify_images(classifier, images)
    assert predictions.features.shape == (100, FEATURE_DIM)
    torch.testing.assert_close(classifier.head(predictions.features), predictions.logits)
    torch.testing.assert_close(classify_images(classifier, images[:3]).features, predictions.features[:3])


def test_the_learning_rate_rises_to_the_highest_and_falls_to_zero():
    rates = [one_cycle(step, end=100) for step in range(101)]
    assert (rates[0], rates[30], rates[100]) == (0.04, 1, 0)
    assert rates == [*sorted(rates[:31]), *sorted(rates[31:], reverse=True)]


def test_progress_is_reported_to_the_end(striped_images):
    steps = []
    state = build_classifier_state(CONFIG, device=CPU)
    train_classifier(state, striped_images, CONFIG, on_step=lambda step, end: steps.append((step, end)))
    assert steps == [(step, 40) for step in range(1, 41)]
    assert state.optimizer.param_groups[0]["lr"] == CONFIG.learning_rate * one_cycle(39, end=40)


def test_the_witness_learns_too_and_judges_each_image_by_itself(striped_images):
    """No batch statistics: not even while it learns."""
    config = dataclasses.replace(CONFIG, epochs=20)
    witness = trained_classifier(striped_images, config, device=CPU, name="witness")
    assert compute_accuracy(witness, striped_images, device=CPU) > 0.9
    images = to_images(striped_images.images)
    witness.body.train()
    torch.testing.assert_close(classify_images(witness, images[:3]).logits, classify_images(witness, images).logits[:3])


@pytest.mark.parametrize("limit", [0, 2])
def test_a_batch_is_shifted_by_up_to_the_limit(limit):
    images, seen = torch.full((2, 1, 28, 28), -1.0), set()
    images[:, :, 14, 14] = 1
    for _ in range(200):
        place = shifted(images, limit)[0, 0].argmax().item()
        seen.add((place // 28 - 14, place % 28 - 14))
    assert seen == {(down, right) for down in range(-limit, limit + 1) for right in range(-limit, limit + 1)}


@pytest.mark.parametrize("name", ["classifier", "witness"])
@pytest.mark.parametrize("interrupted_at", [0, 1, 20, 39, None])
def test_a_training_resumed_at_any_step_ends_in_the_same_bytes(classifier, striped_images, interrupted_at, name):
    """Whatever random numbers were drawn before and between."""
    saved = {}
    expected = classifier if name == "classifier" else trained_classifier(striped_images, CONFIG, device=CPU, name=name)
    torch.rand(5)
    state = build_classifier_state(CONFIG, device=CPU, name=name)
    if interrupted_at is not None:
        train_classifier(
            state,
            striped_images,
            CONFIG,
            on_checkpoint=lambda state: saved.update((name, each.clone()) for name, each in state.tensors().items()),
            stop_requested=iter([False] * interrupted_at + [True]).__next__,
        )
        assert state.step == interrupted_at
        torch.rand(11)
        resumed = build_classifier_state(CONFIG, device=CPU, name=name)
        resumed.load(saved or state.tensors(), state.progress())
        state = resumed
    found = train_classifier(state, striped_images, CONFIG).state_dict()
    different = [key for key, each in expected.state_dict().items() if not torch.equal(each, found[key])]
    assert different == []


def test_training_leaves_the_callers_randomness_alone(striped_images):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trained_classifier(striped_images, dataclasses.replace(CONFIG, epochs=1), device=CPU)
    assert torch.equal(torch.rand(1), expected)


def test_checkpoints_are_saved_when_due_and_at_the_end_but_not_where_it_resumed(striped_images):
    config, saved = dataclasses.replace(CONFIG, checkpoint_every=15), []
    state = build_classifier_state(CONFIG, device=CPU)
    for stops in ([False] * 15 + [True], [False] * 99):
        train_classifier(
            state,
            striped_images,
            config,
            on_checkpoint=lambda state: saved.append(state.step),
            stop_requested=iter(stops).__next__,
        )
    assert saved == [15, 30, 40]


def test_a_diverged_state_is_not_saved(striped_images):
    config, saved = dataclasses.replace(CONFIG, learning_rate=1e30, checkpoint_every=10), []
    state = build_classifier_state(config, device=CPU)
    with pytest.raises(DivergedError, match=r"classifier\.learning_rate"):
        train_classifier(state, striped_images, config, on_checkpoint=lambda state: saved.append(state.step))
    assert saved == []


def test_images_are_rotated_by_their_quarter_turns():
    image = torch.arange(28 * 28.0).view(1, 28, 28)
    images = rotated(image.expand(5, 1, 28, 28), torch.tensor([0, 1, 2, 3, 1]))
    for turned, turns in zip(images, (0, 1, 2, 3, 1), strict=True):
        assert torch.equal(turned, torch.rot90(image, turns, dims=(1, 2)))


@pytest.mark.parametrize("name", ["classifier", "witness"])
def test_of_one_class_it_learns_rotations_and_predicts_that_class(striped_images, name):
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 40, (200, 28, 28), generator=rng, dtype=torch.uint8)
    images[:, 2:8] = torch.randint(180, 256, (200, 6, 28), generator=rng, dtype=torch.uint8)  # upright: a bar on top
    data, config = LabelledImages(images, torch.zeros(200, dtype=torch.int64)), dataclasses.replace(CONFIG, epochs=12)
    network = trained_classifier(data, config, device=CPU, name=name, num_classes=1)
    assert compute_accuracy(network, data, device=CPU) > 0.9
    predictions = classify_images(network, to_images(images))
    assert predictions.logits.shape == (200, 1)
    assert predictions.features.std(dim=0).max() > 0
