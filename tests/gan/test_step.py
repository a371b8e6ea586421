import copy
import dataclasses

import pytest
import torch

from dcgan.data.batches import Batches
from dcgan.gan.networks import build_discriminator
from dcgan.gan.state import GanState, build_state, update_ema
from dcgan.gan.step import frozen, gan_step

CPU = torch.device("cpu")


def bytes_of(network) -> dict[str, bytes]:
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in network.state_dict().items()}


def new_state(config) -> GanState:
    return build_state(config, device=CPU)


def take_steps(state, config, data, count):
    batches = Batches(data, batch_size=config.train.batch_size, seed=0, device=CPU)
    rng = torch.Generator()
    for _ in range(count):
        rng.manual_seed(state.step)
        real, labels = batches.batch(state.step)
        measured = gan_step(state, real, labels, rng=rng, config=config)
    return measured


def test_both_players_and_the_average_move(gan_config, striped_images):
    state = new_state(gan_config)
    before = [bytes_of(network) for network in (state.generator, state.discriminator, state.generator_ema)]
    take_steps(state, gan_config, striped_images, 1)
    after = [bytes_of(network) for network in (state.generator, state.discriminator, state.generator_ema)]
    for was, now in zip(before, after, strict=True):
        unmoved = {name for name in was if was[name] == now[name]}
        assert unmoved <= {"projection.weight"}  # rows of digits that were not in the batch may rest
    assert state.step == 1


def test_a_player_with_rate_zero_is_unchanged_bit_for_bit(gan_config, striped_images):
    """The generator's turn must not leak into the discriminator, nor the other way round."""
    state = new_state(gan_config)
    for player, optimizer in (
        ("generator", state.generator_optimizer),
        ("discriminator", state.discriminator_optimizer),
    ):
        optimizer.param_groups[0]["lr"] = 0.0
        weights = {name: w.clone() for name, w in getattr(state, player).named_parameters()}
        take_steps(state, gan_config, striped_images, 2)
        for name, weight in getattr(state, player).named_parameters():
            assert torch.equal(weight, weights[name]), name
        optimizer.param_groups[0]["lr"] = 1e-3


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_frozen_keeps_weights_gradients_and_statistics_but_lets_gradients_pass(model_config, spectral_norm):
    discriminator = build_discriminator(model_config, spectral_norm=spectral_norm)
    before = bytes_of(discriminator)
    images = torch.rand(16, 1, 28, 28, requires_grad=True)
    with frozen(discriminator):
        discriminator(images, torch.arange(16) % 10).logits.sum().backward()
    assert bytes_of(discriminator) == before
    assert all(weight.grad is None for weight in discriminator.parameters())
    assert images.grad.abs().sum() > 0
    assert all(weight.requires_grad for weight in discriminator.parameters())


def test_frozen_judges_as_the_training_discriminator_does(gan_config):
    discriminator = new_state(gan_config).discriminator
    images, labels = torch.rand(16, 1, 28, 28), torch.arange(16) % 10
    expected = copy.deepcopy(discriminator)(images, labels).logits
    with frozen(discriminator):
        assert torch.equal(discriminator(images, labels).logits, expected)


def test_the_discriminators_loss_sends_nothing_to_the_generator(gan_config, striped_images):
    state = new_state(gan_config)
    state.generator_optimizer.step = lambda: None
    gradients = []
    state.discriminator_optimizer.step = lambda: gradients.extend(w.grad for w in state.generator.parameters())
    take_steps(state, gan_config, striped_images, 1)
    assert gradients == [None] * len(list(state.generator.parameters()))


def test_r1_is_measured_every_so_many_steps_and_changes_the_discriminator(gan_config, striped_images):
    state = new_state(gan_config)
    with_penalty = ["discriminator/r1" in take_steps(state, gan_config, striped_images, 1) for _ in range(4)]
    assert with_penalty == [True, False, True, False]

    unpenalised = dataclasses.replace(gan_config, penalties=dataclasses.replace(gan_config.penalties, r1=0.0))
    one, other = new_state(gan_config), new_state(gan_config)
    take_steps(one, gan_config, striped_images, 1)
    assert "discriminator/r1" not in take_steps(other, unpenalised, striped_images, 1)
    assert bytes_of(one.discriminator) != bytes_of(other.discriminator)


@pytest.mark.parametrize("halflife_kimg", [0.0, 0.004])
def test_the_average_has_the_stated_half_life_and_the_generators_buffers(gan_config, halflife_kimg):
    state = new_state(gan_config)
    state.step = 10**6  # far beyond the ramp
    with torch.no_grad():
        for weight in state.generator.parameters():
            weight.fill_(1.0)
        for weight in state.generator_ema.parameters():
            weight.fill_(0.0)
        for buffer in state.generator.buffers():
            buffer.fill_(7)
    update_ema(state, batch_size=4, halflife_kimg=halflife_kimg)
    expected = 1.0 if halflife_kimg == 0 else 0.5  # a batch of 4 is one half-life of 4 images
    assert all(weight.flatten()[0].item() == pytest.approx(expected) for weight in state.generator_ema.parameters())
    assert all((buffer == 7).all() for buffer in state.generator_ema.buffers())


def test_the_average_forgets_the_untrained_weights_quickly(gan_config):
    state = new_state(gan_config)
    state.step = 99  # 400 images seen: the half-life is 20 of them, not 20,000
    with torch.no_grad():
        for weight in state.generator.parameters():
            weight.fill_(1.0)
        for weight in state.generator_ema.parameters():
            weight.fill_(0.0)
    update_ema(state, batch_size=4, halflife_kimg=20)
    weight = next(state.generator_ema.parameters()).flatten()[0].item()
    assert weight == pytest.approx(1 - 0.5 ** (4 / 20))


def test_unconditional_steps_move_both_players(unconditional_config, striped_images):
    state = new_state(unconditional_config)
    before = bytes_of(state.generator), bytes_of(state.discriminator)
    take_steps(state, unconditional_config, striped_images, 1)
    assert bytes_of(state.generator) != before[0]
    assert bytes_of(state.discriminator) != before[1]


def test_a_restored_state_goes_on_to_the_same_bytes(gan_config, striped_images):
    straight = new_state(gan_config)
    take_steps(straight, gan_config, striped_images, 3)
    straight.best_fcd, straight.best_step, straight.checks_held = 1.5, 2, 1
    saved = {name: tensor.clone().contiguous() for name, tensor in straight.tensors().items()}
    take_steps(straight, gan_config, striped_images, 3)

    restored = new_state(gan_config)
    restored.load(saved)
    assert restored.step == 3
    take_steps(restored, gan_config, striped_images, 3)
    expected, found = straight.tensors(), restored.tensors()
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_networks_start_the_same_for_a_seed_and_leave_the_global_randomness_alone(gan_config):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = new_state(gan_config)
    assert torch.equal(torch.rand(1), expected)
    assert bytes_of(one.generator) == bytes_of(new_state(gan_config).generator)
    reseeded = dataclasses.replace(gan_config, train=dataclasses.replace(gan_config.train, seed=1))
    assert bytes_of(one.generator) != bytes_of(new_state(reseeded).generator)
