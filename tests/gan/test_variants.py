"""Every variant of experiments/zoo.yaml, made small, is trained: `make zoo` does the same with all of MNIST."""

from functools import partial

import pytest

from dcgan.classifier.network import Classifier
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.classifier.training import trained_classifier
from dcgan.config.rules import refuse_misfits
from dcgan.config.schema import ClassifierConfig, GanConfig
from dcgan.gan.sampling import sample_from_seed
from dcgan.gan.state import build_state
from small_gan import CPU, ZOO, RecordingTracker, changed, copied, differences, run, take_steps, variant

STEPS = {"began": 300}
"""For how long a variant trains, where its balance takes longer than 150 steps."""


@pytest.fixture(scope="module")
def classifier(striped_images) -> Classifier:
    config = ClassifierConfig(seed=0, epochs=5, batch_size=20, learning_rate=3e-3)
    return trained_classifier(striped_images, config, device=CPU)


@pytest.fixture(params=ZOO["variants"])
def config(request) -> GanConfig:
    return variant(request.param, steps=STEPS.get(request.param, 150))


def test_training_stays_finite_and_beats_the_untrained_generator(config, classifier, striped_images):
    refuse_misfits(config)
    quick_fcd, tracker = QuickFcd(classifier, striped_images), RecordingTracker()
    before = quick_fcd(partial(sample_from_seed, build_state(config, device=CPU).generator_ema, config.model))
    state = run(config, striped_images, tracker=tracker)
    after = quick_fcd(partial(sample_from_seed, state.generator_ema, config.model))
    assert after["train/quick_fcd"] < 0.97 * before["train/quick_fcd"]
    assert {"discriminator/loss", "generator/loss"} <= tracker.metrics[config.train.max_steps].keys()


@pytest.mark.parametrize(("player", "other"), [("generator", "discriminator"), ("discriminator", "generator")])
def test_gradients_reach_only_the_player_whose_turn_it_is(config, striped_images, player, other):
    state = build_state(config, device=CPU)
    state.step = config.train.discriminator_steps - 1  # a step at which both learn
    seen = {}

    def record(*_):
        for name in (player, other):
            weights = getattr(state, name).parameters()
            seen[name] = any(weight.grad is not None and bool(weight.grad.any()) for weight in weights)

    # The other one neither moves nor keeps what its own turn gave it.
    getattr(state, f"{other}_optimizer").step = lambda: getattr(state, other).zero_grad(set_to_none=True)
    getattr(state, f"{player}_optimizer").step = record
    take_steps(state, config, striped_images)
    assert seen == {player: True, other: False}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_restored_variant_goes_on_to_the_same_bytes(config, striped_images, precision):
    config = changed(config, {"train.precision": precision})
    straight = build_state(config, device=CPU)
    take_steps(straight, config, striped_images, 3)
    restored = copied(straight, config)
    assert restored.step == 3
    for state in (straight, restored):
        take_steps(state, config, striped_images, 3)
    assert differences(straight, restored) == []
