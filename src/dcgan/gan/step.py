"""One training step of the GAN."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from dcgan.config.schema import GanConfig
from dcgan.gan.inputs import StepInputs
from dcgan.gan.losses import LOSSES, Measurements
from dcgan.gan.networks import ARCHITECTURES
from dcgan.gan.parallel import average, average_statistics
from dcgan.gan.penalties import clip_weights, gradient_penalty, interpolate, moment_kl, zero_centred_penalty
from dcgan.gan.state import GanState, update_ema, update_k_t


class Due(NamedTuple):
    """Which parts of a step are due."""

    penalties: bool
    generator: bool


def due_at(step: int, config: GanConfig) -> Due:
    """What the given step consists of besides the discriminator's update."""
    penalties = config.penalties
    is_penalised = bool(penalties.r1 or penalties.r2 or penalties.gradient_penalty)
    return Due(
        penalties=is_penalised and step % penalties.every == 0,
        generator=(step + 1) % config.train.discriminator_steps == 0,
    )


def gan_step(state: GanState, inputs: StepInputs, config: GanConfig, *, due: Due) -> Measurements:
    """Update the discriminator, then the generator, then the averaged generator; each player minimises Σ weight · term.

    A function of tensors: nothing in it is drawn or computed by Python anew, so that it can become a CUDA graph.

    Args:
        state: its tensors are changed in place.
        inputs: real images are never in one batch with fakes, because BatchNorm must not mix them.
        config: with `train.precision` resolved.
        due: which of its parts the step has.
    """
    loss, auxiliary = LOSSES[config.loss.name], ARCHITECTURES[config.model.architecture].auxiliary
    penalties, precision = config.penalties, autocast(state.device, config.train.precision)
    labels, latents, fake_labels = inputs.labels, inputs.latents, inputs.fake_labels
    set_learning_rates(state, inputs.rates)

    # Fakes
    with precision:
        fake = state.generator(latents, fake_labels)

    # Discriminator
    strength = penalties.every if due.penalties else 0
    r1, r2, slope = (strength * each for each in (penalties.r1, penalties.r2, penalties.gradient_penalty))
    real, detached = inputs.real.detach().requires_grad_(r1 > 0), fake.detach().requires_grad_(r2 > 0)
    with precision:  # one block for both, so the weights are cast once
        on_real, on_fake = state.discriminator(real, labels), state.discriminator(detached, fake_labels)
    fake_logits = on_fake.logits if state.k_t is None else state.k_t * on_fake.logits
    terms = {"discriminator/loss": (1.0, loss.discriminator(on_real.logits, fake_logits))}
    if r1:
        terms["discriminator/r1"] = r1, zero_centred_penalty(on_real.logits, real)
    if r2:
        terms["discriminator/r2"] = r2, zero_centred_penalty(on_fake.logits, detached)
    if slope:
        between = interpolate(real, detached, inputs.places)
        with precision:
            on_between = state.discriminator(between, labels)
        terms["discriminator/gradient_penalty"] = slope, gradient_penalty(on_between.logits, between)
    if auxiliary:
        error = auxiliary.discriminator_loss(on_real, on_fake, labels, latents, fake_labels)
        terms["discriminator/auxiliary"] = config.loss.auxiliary, error
    measured = optimizer_step(state.discriminator_optimizer, terms)
    if penalties.weight_clipping:
        clip_weights(state.discriminator, penalties.weight_clipping)
    if state.k_t is not None:
        measured |= update_k_t(state.k_t, on_real.logits, on_fake.logits, config.loss)

    # Generator
    if due.generator:
        with frozen(state.discriminator), precision:
            on_fooling = state.discriminator(fake, fake_labels)
        terms = {"generator/loss": (1.0, loss.generator(on_real.logits.detach(), on_fooling.logits))}
        if penalties.moment_kl:
            terms["generator/moment_kl"] = penalties.moment_kl, moment_kl(fake, real)
        if auxiliary:
            error = auxiliary.generator_loss(on_fooling, latents, fake_labels)
            terms["generator/auxiliary"] = config.loss.auxiliary, error
        measured |= optimizer_step(state.generator_optimizer, terms)

    average_statistics([state.generator, state.discriminator])
    update_ema(state, inputs.ema_weight)
    return measured | loss.measure(on_real.logits, on_fake.logits)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which networks compute in bf16, or plain float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def set_learning_rates(state: GanState, rates: Tensor) -> None:
    """Write the rates [2] of generator and discriminator into the tensors that the optimisers read."""
    for optimizer, rate in zip((state.generator_optimizer, state.discriminator_optimizer), rates, strict=True):
        optimizer.param_groups[0]["lr"].copy_(rate)


def optimizer_step(optimizer: torch.optim.Optimizer, terms: Mapping[str, tuple[float, Tensor]]) -> Measurements:
    """One update against the gradient of Σ weight · term, where `terms` holds (weight, scalar); returns the scalars."""
    objective = sum(weight * term for weight, term in terms.values())
    weights = optimizer.param_groups[0]["params"]
    gradients = torch.autograd.grad(objective, weights, allow_unused=True)  # type: ignore[arg-type]
    average([gradient for gradient in gradients if gradient is not None])
    for weight, gradient in zip(weights, gradients, strict=True):
        is_alike = gradient is None or gradient.stride() == weight.stride()
        # The fused optimiser walks both in storage order.
        weight.grad = gradient if is_alike else torch.empty_like(weight).copy_(gradient)
    optimizer.step()
    return {name: term.detach() for name, (_, term) in terms.items()}


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through `network` without reaching its weights; what it keeps of its inputs rests too.

    These are running statistics (BatchNorm), and the vectors by which spectral normalisation finds singular values.
    """
    normalisations: list[Any] = [layer for layer in network.modules() if getattr(layer, "track_running_stats", False)]
    reparametrised = [layer for layer in network.modules() if isinstance(layer, ParametrizationList)]
    network.requires_grad_(False)
    for layer in normalisations:
        layer.track_running_stats = False
    for layer in reparametrised:
        layer.eval()
    try:
        yield
    finally:
        network.requires_grad_(True)
        for layer in normalisations:
            layer.track_running_stats = True
        for layer in reparametrised:
            layer.train()
