"""One step of the game."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from dcgan.config.schema import GanConfig
from dcgan.data.batches import sample_labels, sample_latents
from dcgan.gan.losses import LOSSES, compute_accuracy
from dcgan.gan.networks import DiscriminatorOutput
from dcgan.gan.penalties import clip_weights
from dcgan.gan.state import GanState, update_ema
from dcgan.gan.terms import Judge, Term, Turn, discriminator_terms, generator_terms

Measurements = dict[str, Tensor]
"""Detached scalars on the device, by tracker key."""


def gan_step(
    state: GanState, real: Tensor, labels: Tensor | None, *, rng: torch.Generator, config: GanConfig
) -> Measurements:
    """Let both players learn once from `real` images [B, 1, 28, 28] in [-1, 1] with `labels` [B].

    The fakes are drawn once, before either player moves. Real and fake images pass the discriminator as separate
    batches, because BatchNorm must not mix them. The generator sits out the steps that `train.discriminator_steps`
    leaves to the discriminator. Its loss sees the real images' logits as they were before the discriminator moved.
    """
    loss, judge = LOSSES[config.loss.name], _judge(state, config)
    fake_labels = sample_labels(len(real), config.model, rng=rng)
    latents = sample_latents(len(real), config.model, rng=rng)
    with autocast(state.device, config.train.precision):
        fake = state.generator(latents, fake_labels)

    # The discriminator's turn
    terms = discriminator_terms(config, step=state.step)
    real.requires_grad_(any(term.name == "r1" for term in terms))
    seen = fake.detach().requires_grad_(any(term.name == "r2" for term in terms))
    with autocast(state.device, config.train.precision):  # one for both: the weights are cast once
        real_verdict, fake_verdict = state.discriminator(real, labels), state.discriminator(seen, fake_labels)
    turn = Turn(
        real=real, real_labels=labels, real_verdict=real_verdict,
        fake=seen, fake_labels=fake_labels, fake_verdict=fake_verdict,
        latents=latents, judge=judge, rng=rng,
    )  # fmt: skip
    real_logits, fake_logits = real_verdict.logits, fake_verdict.logits
    measured = {"discriminator/loss": loss.discriminator(real_logits, state.balance * fake_logits)}
    optimizer_step(state.discriminator_optimizer, _objective("discriminator", terms, turn, measured))
    if config.penalties.weight_clipping:
        clip_weights(state.discriminator, config.penalties.weight_clipping)
    state.balance, figures = loss.rebalance(state.balance, real_logits, fake_logits, config.loss)

    # The generator's turn
    if (state.step + 1) % config.train.discriminator_steps == 0:
        with frozen(state.discriminator):
            turn = replace(turn, fake=fake, fake_verdict=judge(fake, fake_labels))
        measured["generator/loss"] = loss.generator(real_logits.detach(), turn.fake_verdict.logits)
        optimizer_step(state.generator_optimizer, _objective("generator", generator_terms(config), turn, measured))

    update_ema(state, batch_size=len(real), halflife_kimg=config.train.ema_halflife_kimg)
    state.step += 1
    measured |= figures
    measured |= {"discriminator/real_logits": real_logits.mean(), "discriminator/fake_logits": fake_logits.mean()}
    if loss.has_decision_boundary:
        measured["discriminator/accuracy"] = compute_accuracy(real_logits, fake_logits)
    return {key: value.detach() for key, value in measured.items()}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which networks compute in bf16, or plain float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through `network` without reaching it; what it keeps about its inputs rests too.

    These are BatchNorm's running statistics, and the vectors by which spectral normalisation finds singular values.
    """
    normalisations = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    reparametrised = [layer for layer in network.modules() if isinstance(layer, ParametrizationList)]
    network.requires_grad_(False)
    for layer in normalisations:
        layer.track_running_stats = False
    for each in reparametrised:
        each.eval()
    try:
        yield
    finally:
        network.requires_grad_(True)
        for layer in normalisations:
            layer.track_running_stats = True
        for each in reparametrised:
            each.train()


def _judge(state: GanState, config: GanConfig) -> Judge:
    """The discriminator, in the run's arithmetic."""

    def judge(images: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        with autocast(state.device, config.train.precision):
            verdict: DiscriminatorOutput = state.discriminator(images, labels)
        return verdict

    return judge


def _objective(player: str, terms: Sequence[Term], turn: Turn, measured: Measurements) -> Tensor:
    """The player's loss with its terms, which are put on record as `player/term`."""
    objective = measured[f"{player}/loss"]
    for term in terms:
        measured[f"{player}/{term.name}"] = term.compute(turn)
        objective = objective + term.weight * measured[f"{player}/{term.name}"]
    return objective


def optimizer_step(optimizer: torch.optim.Optimizer, objective: Tensor) -> None:
    """One update of the optimiser's weights against the gradient of a scalar."""
    optimizer.zero_grad(set_to_none=True)
    objective.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
