"""Every member of experiments/zoo.yaml, made small, is trained: `make zoo` does the same with all of MNIST."""

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml

from dcgan.classifier.network import Classifier
from dcgan.classifier.training import trained_classifier
from dcgan.config.params_file import changed
from dcgan.config.rules import refuse_misfits
from dcgan.config.schema import ClassifierConfig, GanConfig, Params
from dcgan.data.batches import Batches
from dcgan.gan.state import GanState, build_state
from dcgan.gan.step import gan_step
from dcgan.gan.tracker import RecordingTracker
from dcgan.gan.training import train
from quick_judging import quick_judge

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
PLAN = yaml.safe_load((ROOT / "experiments/zoo.yaml").read_text())
STEPS = 300


@pytest.fixture(scope="module")
def classifier(striped_images) -> Classifier:
    config = ClassifierConfig(seed=0, epochs=5, batch_size=20, learning_rate=3e-3)
    return trained_classifier(striped_images, config, device=CPU)


@pytest.fixture(params=PLAN["variants"])
def config(request, gan_config) -> GanConfig:
    """A member with a quarter of its channels, in small batches, at rates that let it learn in 300 steps."""
    member = changed(Params(), PLAN["base"] | PLAN["variants"][request.param]["params"]).gan
    sizes = {name: getattr(member.model, name) // 4 for name in ("generator_channels", "discriminator_channels")}
    model = dataclasses.replace(member.model, latent_dim=16, **sizes)
    schedule = {
        name: getattr(gan_config.train, name) for name in ("batch_size", "ema_halflife_kimg", "device", "precision")
    }
    rates = {"generator_learning_rate": 4e-3, "discriminator_learning_rate": 4e-3}
    train = dataclasses.replace(member.train, epochs=1000, max_steps=STEPS, report_every=50, **schedule, **rates)
    return dataclasses.replace(member, model=model, train=train)


def step(state: GanState, config: GanConfig, data) -> dict[str, torch.Tensor]:
    batches = Batches(data, batch_size=config.train.batch_size, seed=0, device=CPU)
    real, labels = batches.batch(state.step)
    torch.manual_seed(state.step)
    return gan_step(state, real, labels, rng=torch.Generator().manual_seed(state.step), config=config)


def test_300_steps_stay_finite_and_beat_the_untrained_generator(config, classifier, striped_images):
    refuse_misfits(config)
    state, tracker = build_state(config, device=CPU), RecordingTracker()
    judge = quick_judge(classifier, striped_images, config.model)
    before = judge(state.generator_ema)["train/quick_fcd"]
    batches = Batches(striped_images, batch_size=config.train.batch_size, seed=0, device=CPU)
    train(state, batches, config, tracker=tracker, on_checkpoint=lambda _state: None)
    assert judge(state.generator_ema)["train/quick_fcd"] < 0.97 * before
    assert {"discriminator/loss", "generator/loss"} <= tracker.metrics[STEPS].keys()


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
    step(state, config, striped_images)
    assert seen == {player: True, other: False}


def test_a_restored_member_goes_on_to_the_same_bytes(config, striped_images):
    straight = build_state(config, device=CPU)
    for _ in range(3):
        step(straight, config, striped_images)
    restored = build_state(config, device=CPU)
    restored.load({name: tensor.clone() for name, tensor in straight.tensors().items()})
    for state in (straight, restored):
        for _ in range(3):
            step(state, config, striped_images)
    expected, found = straight.tensors(), restored.tensors()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
