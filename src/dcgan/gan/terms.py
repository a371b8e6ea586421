"""Which terms each player minimises beside the adversarial loss, by what the configuration switches on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dcgan.config.schema import GanConfig
from dcgan.gan.networks import ARCHITECTURES, DiscriminatorOutput
from dcgan.gan.penalties import gradient_penalty, moment_kl, zero_centred_penalty

Judge = Callable[[Tensor, Tensor | None], DiscriminatorOutput]
"""The discriminator: (images [B, 1, 28, 28], labels [B] or None) → DiscriminatorOutput."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a player has before it when it learns."""

    real: Tensor
    """Images [B, 1, 28, 28] in [-1, 1] that require a gradient if `r1` is due."""
    real_labels: Tensor | None
    real_verdict: DiscriminatorOutput
    """In the generator's turn, still that of the discriminator's."""
    fake: Tensor
    """As `real`, with `r2`; only in the generator's turn do gradients reach the generator."""
    fake_labels: Tensor | None
    fake_verdict: DiscriminatorOutput
    latents: Tensor
    """What the fakes were drawn from, [B, latent_dim]."""
    judge: Judge
    rng: torch.Generator


class Term(NamedTuple):
    """One addend of a player's objective."""

    name: str
    weight: float
    compute: Callable[[Turn], Tensor]


def discriminator_terms(config: GanConfig, *, step: int) -> list[Term]:
    """The discriminator's terms at a step."""
    penalties, every = config.penalties, config.penalties.every
    smoothing = [
        Term("r1", every * penalties.r1, lambda turn: zero_centred_penalty(turn.real_verdict.logits, turn.real)),
        Term("r2", every * penalties.r2, lambda turn: zero_centred_penalty(turn.fake_verdict.logits, turn.fake)),
        Term("gradient_penalty", every * penalties.gradient_penalty, _gradient_penalty),
    ]
    return _switched_on([*(smoothing if step % every == 0 else []), *_recognition(config, of_real=True)])


def generator_terms(config: GanConfig) -> list[Term]:
    """The generator's terms."""
    moments = Term("moment_kl", config.penalties.moment_kl, lambda turn: moment_kl(turn.fake, turn.real))
    return _switched_on([moments, *_recognition(config, of_real=False)])


def _switched_on(terms: list[Term]) -> list[Term]:
    return [term for term in terms if term.weight > 0]


def _gradient_penalty(turn: Turn) -> Tensor:
    return gradient_penalty(
        lambda images: turn.judge(images, turn.real_labels).logits, turn.real, turn.fake, rng=turn.rng
    )


def _recognition(config: GanConfig, *, of_real: bool) -> list[Term]:
    """What is read off the fakes, and off the real images where that can be and is asked for."""
    auxiliary = ARCHITECTURES[config.model.architecture].auxiliary
    if auxiliary is None:
        return []

    def loss(turn: Turn) -> Tensor:
        fake_guess, real_guess = turn.fake_verdict.auxiliary, turn.real_verdict.auxiliary
        assert fake_guess is not None
        assert real_guess is not None
        total = auxiliary.loss(fake_guess, turn.latents, turn.fake_labels)
        if of_real and auxiliary.uses_real_images:
            total = total + auxiliary.loss(real_guess, None, turn.real_labels)
        return total

    return [Term("auxiliary", config.loss.auxiliary, loss)]
