"""The step as a function of tensors, against the same game written plainly, with Python's numbers and `backward`."""

import copy

import pytest
import torch
from torch.nn.functional import softplus

from dcgan.data.batches import mixed_seed, sample_labels, sample_latents
from dcgan.gan.networks import build_discriminator, build_generator
from dcgan.gan.state import build_state
from small_gan import CONFIG, CPU, batches_of, bytes_of, changed, run

STEPS = 64


def play(config, data):
    """The default game: logistic losses, R1, Adam with falling rates, an average; the three networks after 64 steps."""
    train, penalties = config.train, config.penalties
    torch.manual_seed(train.seed)
    networks = build_generator(config.model), build_discriminator(config.model)
    generator, discriminator = (network.to(memory_format=torch.channels_last) for network in networks)
    average = copy.deepcopy(generator)
    betas = (train.beta1, train.beta2)
    of_generator = torch.optim.Adam(generator.parameters(), 1.0, betas, fused=True)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), 1.0, betas, fused=True)
    batches = batches_of(config, data)
    for step in range(STEPS):
        rng = torch.Generator().manual_seed(mixed_seed(train.seed, step))
        fake_labels = sample_labels(train.batch_size, config.model, rng=rng)
        latents = sample_latents(train.batch_size, config.model, rng=rng)
        real, labels = batches.batch(step)
        factor = min(1, (STEPS - step) / (STEPS * (1 - train.learning_rate_decay_from)))
        of_generator.param_groups[0]["lr"] = train.generator_learning_rate * factor
        of_discriminator.param_groups[0]["lr"] = train.discriminator_learning_rate * factor
        bf16 = torch.autocast("cpu", torch.bfloat16, enabled=train.precision == "bf16")

        with bf16:
            fake = generator(latents, fake_labels)
        real.requires_grad_(step % penalties.every == 0)
        with bf16:
            on_real = discriminator(real, labels).logits
            on_fake = discriminator(fake.detach(), fake_labels).logits
        loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        if real.requires_grad:
            (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            loss = loss + penalties.every * penalties.r1 * (0.5 * slope.square().sum((1, 2, 3)).mean())
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()

        statistics = [buffer.clone() for buffer in discriminator.buffers()]
        with bf16:
            loss = softplus(-discriminator(fake, fake_labels).logits).mean()
        of_generator.zero_grad()
        loss.backward()
        of_generator.step()
        for buffer, before in zip(discriminator.buffers(), statistics, strict=True):
            buffer.copy_(before)

        halflife = min(train.ema_halflife_kimg * 1000, 0.05 * (step + 1) * train.batch_size)
        with torch.no_grad():
            for averaged, weight in zip(average.parameters(), generator.parameters(), strict=True):
                averaged.lerp_(weight, 1 - 0.5 ** (train.batch_size / halflife))
            average.load_state_dict(average.state_dict() | dict(generator.named_buffers()))
    return generator, discriminator, average


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_64_steps_are_those_of_the_plain_game_bit_for_bit(striped_images, precision):
    config = changed(CONFIG, {"train.precision": precision, "train.epochs": STEPS, "train.max_steps": STEPS})
    state = run(config, striped_images, state=build_state(config, device=CPU))
    networks = state.generator, state.discriminator, state.generator_ema
    for network, expected in zip(networks, play(config, striped_images), strict=True):
        assert bytes_of(network) == bytes_of(expected)
