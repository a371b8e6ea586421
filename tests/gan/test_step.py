import pytest
import torch
from torch import nn

from dcgan.gan.inputs import Inputs, ema_weight
from dcgan.gan.networks import build_discriminator
from dcgan.gan.state import build_state, update_ema
from dcgan.gan.step import due_at, frozen, gan_step
from small_gan import CONFIG, CPU, END, batches_of, bytes_of, changed, take_steps

PRECISIONS = ["fp32", "bf16"]


@pytest.fixture(params=PRECISIONS)
def config(request):
    """In both arithmetics on purpose: `auto` is bf16 on some CPUs only."""
    return changed(CONFIG, {"train.precision": request.param})


@pytest.fixture
def state(config):
    return build_state(config, device=CPU)


@pytest.mark.parametrize("conditional", [True, False])
def test_both_players_and_the_average_move(config, striped_images, conditional):
    config = changed(config, {"model.conditional": conditional})
    state = build_state(config, device=CPU)
    networks = state.generator, state.discriminator, state.generator_ema
    before = [bytes_of(network) for network in networks]
    measured = take_steps(state, config, striped_images)
    for was, network in zip(before, networks, strict=True):
        unmoved = {name for name, content in bytes_of(network).items() if was[name] == content}
        assert unmoved <= {"projection.weight"}  # rows of digits that were not in the batch may rest
        assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert state.step == 1
    assert all(torch.isfinite(value) and not value.requires_grad for value in measured.values())


def test_a_player_with_rate_zero_is_unchanged_bit_for_bit(config, state, striped_images):
    """The generator's turn must not leak into the discriminator, nor the other way round."""
    inputs = Inputs(batches_of(config, striped_images), config, end=END)
    for number, player in enumerate(("generator", "discriminator")):
        weights = {name: weight.detach().clone() for name, weight in getattr(state, player).named_parameters()}
        for step in range(2):
            rates = torch.full((2,), 1e-3)
            rates[number] = 0
            gan_step(state, inputs(step)._replace(rates=rates), config, due=due_at(step, config))
        assert all(torch.equal(weight, weights[name]) for name, weight in getattr(state, player).named_parameters())


def test_the_inputs_are_left_as_they_were(config, state, striped_images):
    inputs = Inputs(batches_of(config, striped_images), config, end=END)(0)
    before = inputs.map(torch.clone)
    gan_step(state, inputs, config, due=due_at(0, config))
    for was, now in zip(before, inputs, strict=True):
        assert torch.equal(was, now)
        assert not now.requires_grad


def test_r1_is_measured_every_so_many_steps_and_changes_the_discriminator(config, state, striped_images):
    with_penalty = ["discriminator/r1" in take_steps(state, config, striped_images) for _ in range(4)]
    assert with_penalty == [True, False, True, False]
    unpenalised = changed(config, {"penalties.r1": 0})
    one, other = (build_state(each, device=CPU) for each in (config, unpenalised))
    take_steps(one, config, striped_images)
    assert "discriminator/r1" not in take_steps(other, unpenalised, striped_images)
    assert bytes_of(one.discriminator) != bytes_of(other.discriminator)


def test_r1_in_bf16_is_nearly_that_in_float32(striped_images):
    found = {}
    for precision in PRECISIONS:
        config = changed(CONFIG, {"train.precision": precision})
        found[precision] = take_steps(build_state(config, device=CPU), config, striped_images)["discriminator/r1"]
    assert found["bf16"].dtype == torch.float32
    assert found["bf16"] != found["fp32"]
    assert found["bf16"].item() == pytest.approx(found["fp32"].item(), rel=0.1)


UNCONDITIONAL = changed(CONFIG, {"model.conditional": False}).model
FREEZABLE = {
    "BatchNorm2d": lambda: build_discriminator(UNCONDITIONAL),
    "BatchNorm1d": lambda: nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)),
    "spectral_norm": lambda: build_discriminator(UNCONDITIONAL, spectral_norm=True),
}


def logits_of(discriminator: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return discriminator(images) if isinstance(discriminator, nn.Sequential) else discriminator(images, None).logits


@pytest.mark.parametrize("kind", FREEZABLE)
def test_frozen_keeps_weights_gradients_and_statistics_but_lets_gradients_pass(kind):
    discriminator, images = FREEZABLE[kind](), torch.rand(16, 1, 28, 28, requires_grad=True)
    before = bytes_of(discriminator)
    with frozen(discriminator):
        logits_of(discriminator, images).sum().backward()
    assert bytes_of(discriminator) == before
    assert all(weight.grad is None and weight.requires_grad for weight in discriminator.parameters())
    assert images.grad.abs().sum() > 0
    logits_of(discriminator, images)
    assert bytes_of(discriminator) != before, "it keeps statistics again"


def test_frozen_judges_as_the_training_discriminator_does():
    discriminator, images = FREEZABLE["BatchNorm2d"](), torch.rand(16, 1, 28, 28)
    with frozen(discriminator):
        logits = logits_of(discriminator, images)
    assert torch.equal(logits, logits_of(discriminator, images))


@pytest.mark.parametrize(
    ("step", "halflife_kimg", "expected"),
    [
        (10**6, 0.0, 1.0),
        (10**6, 0.004, 0.5),  # a batch of 4 is one half-life of 4 images
        (99, 20, 1 - 0.5 ** (4 / 20)),  # 400 images seen: the half-life is 20 of them, not 20,000
    ],
)
def test_the_average_has_the_stated_half_life_and_the_generators_buffers(step, halflife_kimg, expected):
    state = build_state(CONFIG, device=CPU)
    with torch.no_grad():
        for weight, averaged in zip(state.generator.parameters(), state.generator_ema.parameters(), strict=True):
            weight.fill_(1.0)
            averaged.fill_(0.0)
        for buffer in state.generator.buffers():
            buffer.fill_(7)
    update_ema(state, torch.tensor(ema_weight(step, batch_size=4, halflife_kimg=halflife_kimg)))
    assert all(weight.flatten()[0].item() == pytest.approx(expected) for weight in state.generator_ema.parameters())
    assert all((buffer == 7).all() for buffer in state.generator_ema.buffers())


def test_networks_start_the_same_for_a_seed_and_leave_the_global_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = build_state(CONFIG, device=CPU)
    assert torch.equal(torch.rand(1), expected)
    assert bytes_of(one.generator) == bytes_of(build_state(CONFIG, device=CPU).generator)
    assert bytes_of(one.generator) != bytes_of(build_state(changed(CONFIG, {"train.seed": 1}), device=CPU).generator)


def test_only_began_has_a_k_t_and_it_moves(striped_images):
    assert build_state(CONFIG, device=CPU).k_t is None
    began = {"model.architecture": "began", "model.conditional": False, "loss.name": "boundary_equilibrium"}
    config = changed(CONFIG, began | {"loss.balance_gain": 0.1, "loss.diversity": 1, "penalties.r1": 0})
    state = build_state(config, device=CPU)
    measured = take_steps(state, config, striped_images)
    assert measured["discriminator/k_t"] == 0, "the one that the step used"
    assert measured["discriminator/convergence"] > 0
    assert 0 < state.k_t <= 1
