import dataclasses
import math

import pytest
import torch

from dcgan.classifier.network import FEATURE_DIM, classify_images, classify_pixels, compute_accuracy
from dcgan.classifier.training import build_classifier_state, train_classifier, trained_classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.batches import to_images
from dcgan.system.errors import BadDataError, DivergedError

CPU = torch.device("cpu")
CONFIG = ClassifierConfig(seed=0, epochs=8, batch_size=20, learning_rate=4e-3)


def new_state(data):
    return build_classifier_state(data, CONFIG, device=CPU)


@pytest.fixture(scope="module")
def classifier(striped_images):
    return trained_classifier(striped_images, CONFIG, device=CPU)


def test_it_learns_what_can_be_learnt(classifier, striped_images):
    assert compute_accuracy(classifier, striped_images, device=CPU) > 0.9


def test_it_is_the_same_on_every_run(classifier, striped_images):
    again = trained_classifier(striped_images, CONFIG, device=CPU).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in classifier.state_dict().items())


def test_features_are_what_the_head_reads(classifier, striped_images):
    images = to_images(striped_images.images)
    reading = classify_images(classifier, images)
    assert reading.features.shape == (100, FEATURE_DIM)
    torch.testing.assert_close(classifier.head(reading.features), reading.logits)
    torch.testing.assert_close(classify_images(classifier, images[:3]).features, reading.features[:3])


def test_progress_is_told_to_the_end(striped_images):
    steps = []
    state = new_state(striped_images)
    train_classifier(state, striped_images, CONFIG, on_step=lambda step, end: steps.append((step, end)))
    assert steps == [(step, 40) for step in range(1, 41)]


@pytest.mark.parametrize("interrupted_at", [1, 7, 20, 39])
def test_a_training_resumed_at_any_step_ends_in_the_same_bytes(classifier, striped_images, interrupted_at):
    saved = {}
    stopped = new_state(striped_images)
    train_classifier(
        stopped,
        striped_images,
        CONFIG,
        on_checkpoint=lambda state: saved.update((name, each.clone()) for name, each in state.tensors().items()),
        stop_requested=iter([False] * interrupted_at + [True]).__next__,
    )
    assert stopped.step == interrupted_at
    torch.rand(11)
    resumed = new_state(striped_images)
    resumed.load(saved, stopped.progress())
    found = train_classifier(resumed, striped_images, CONFIG).state_dict()
    different = [name for name, each in classifier.state_dict().items() if not torch.equal(each, found[name])]
    assert different == []


def test_it_is_saved_when_due_and_at_the_end_but_not_where_it_came_from(striped_images):
    config, saved = dataclasses.replace(CONFIG, checkpoint_every=15), []
    state = new_state(striped_images)
    train_classifier(
        state,
        striped_images,
        config,
        on_checkpoint=lambda state: saved.append(state.step),
        stop_requested=iter([False] * 15 + [True]).__next__,
    )
    train_classifier(state, striped_images, config, on_checkpoint=lambda state: saved.append(state.step))
    assert saved == [15, 30, 40]


def test_what_has_diverged_is_not_saved(striped_images):
    config, saved = dataclasses.replace(CONFIG, learning_rate=1e30, checkpoint_every=10), []
    state = build_classifier_state(striped_images, config, device=CPU)
    with pytest.raises(DivergedError, match=r"lower classifier\.learning_rate"):
        train_classifier(state, striped_images, config, on_checkpoint=lambda state: saved.append(state.step))
    assert saved == []


def test_a_classifier_that_reads_no_finite_values_is_refused(classifier, striped_images):
    broken = new_state(striped_images).classifier.eval()
    broken.load_state_dict(classifier.state_dict())
    broken.head.bias.data[3] = math.nan
    with pytest.raises(BadDataError, match="dvc repro --force train_classifier"):
        classify_pixels(broken, striped_images.images)
