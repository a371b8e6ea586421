"""One step of the game."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dcgan.core.batches import sample_labels, sample_latents
from dcgan.core.config import GanConfig
from dcgan.core.losses import LOSSES
from dcgan.core.penalties import r1_penalty
from dcgan.core.state import GanState, average

Measurements = dict[str, Tensor]
"""Detached scalars on the device, by tracker key."""


def gan_step(
    state: GanState, real: Tensor, labels: Tensor | None, *, rng: torch.Generator, config: GanConfig
) -> Measurements:
    """Let both players learn once from `real` images [B, 1, 28, 28] in [-1, 1] with `labels` [B].

    The fakes are drawn once, before either player moves. Real and fake images pass the discriminator as separate
    batches, because BatchNorm must not mix them.
    """
    generator, discriminator, loss = state.generator, state.discriminator, LOSSES[config.loss.name]
    fake_labels = sample_labels(len(real), config.model, rng=rng)
    with arithmetic(state.device, config.train.precision):
        fake = generator(sample_latents(len(real), config.model, rng=rng), fake_labels)

    is_penalised = config.penalties.r1 > 0 and state.step % config.penalties.every == 0
    real.requires_grad_(is_penalised)
    with arithmetic(state.device, config.train.precision):
        real_logits = discriminator(real, labels)
        fake_logits = discriminator(fake.detach(), fake_labels)
    measured = {"discriminator/loss": loss.discriminator(real_logits, fake_logits)}
    objective = measured["discriminator/loss"]
    if is_penalised:
        measured["discriminator/r1"] = r1_penalty(real_logits, real)
        objective = objective + config.penalties.r1 * config.penalties.every * measured["discriminator/r1"]
    _descend(state.discriminator_optimizer, objective)

    with frozen(discriminator), arithmetic(state.device, config.train.precision):
        measured["generator/loss"] = loss.generator(discriminator(fake, fake_labels))
    _descend(state.generator_optimizer, measured["generator/loss"])

    average(state, batch_size=len(real), halflife_kimg=config.train.ema_halflife_kimg)
    state.step += 1
    measured["discriminator/real_logits"] = real_logits.mean()
    measured["discriminator/fake_logits"] = fake_logits.mean()
    return {key: value.detach() for key, value in measured.items()}


def arithmetic(device: torch.device, precision: str) -> torch.autocast:
    """The context in which networks compute in bf16, or plain float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through `network` without reaching it; BatchNorm's running statistics rest too."""
    normalisations = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    network.requires_grad_(False)
    for layer in normalisations:
        layer.track_running_stats = False
    try:
        yield
    finally:
        network.requires_grad_(True)
        for layer in normalisations:
            layer.track_running_stats = True


def _descend(optimizer: torch.optim.Optimizer, objective: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    objective.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
