"""Everything that changes while a GAN is trained, and therefore what a checkpoint holds."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from dcgan.checkpoints.tensors import load_named_tensors, named_tensors
from dcgan.config.schema import GanConfig, LossConfig, TrainConfig
from dcgan.gan.losses import Measurements, equilibrium
from dcgan.gan.monitor import Monitor
from dcgan.gan.networks import build_discriminator, build_generator


@dataclass
class GanState:
    """Both players, the averaged generator, both optimisers, and how far they are."""

    generator: nn.Module
    discriminator: nn.Module
    generator_ema: nn.Module
    generator_optimizer: Adam
    discriminator_optimizer: Adam
    k_t: Tensor | None
    """BEGAN's weight of the fakes' logits in the discriminator's loss, a scalar in [0, 1]; other losses have none."""
    step: int = 0
    rollbacks: int = 0
    """How often the run went back after a divergence; each time halves the learning rates."""
    monitor: Monitor = field(default_factory=Monitor)

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self.generator.parameters()).device

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state under a unique name such as `generator/stem.0.weight`."""
        own = {} if self.k_t is None else {"k_t": self.k_t}
        return own | named_tensors(self._networks, self._optimizers)

    def progress(self) -> dict[str, Any]:
        """The rest of the state, as JSON holds it."""
        return {"step": self.step, "rollbacks": self.rollbacks, **self.monitor.to_json()}

    def load(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Become the state that `tensors` and `progress` describe.

        Raises:
            KeyError, RuntimeError, ValueError: one is missing, unexpected or of another shape.
        """
        load_named_tensors(self._networks, self._optimizers, tensors)
        self.k_t = None if self.k_t is None else tensors["k_t"].to(self.device)
        self.step, self.rollbacks = progress["step"], progress["rollbacks"]
        self.monitor = Monitor(**{name: progress[name] for name in vars(self.monitor)})

    @property
    def _networks(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in ("generator", "discriminator", "generator_ema")}

    @property
    def _optimizers(self) -> dict[str, Optimizer]:
        return {name: getattr(self, name) for name in ("generator_optimizer", "discriminator_optimizer")}


def build_state(config: GanConfig, *, device: torch.device) -> GanState:
    """The state before the first step; its weights are drawn on the CPU, so they are the same on every device."""
    model, train = config.model, config.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        generator = build_generator(model)
        discriminator = build_discriminator(model, spectral_norm=config.penalties.spectral_norm)
    # channels_last lets the convolutions use the hardware's matrix units without a transposition each.
    generator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return GanState(
        generator=generator,
        discriminator=discriminator,
        generator_ema=copy.deepcopy(generator).eval().requires_grad_(False),
        generator_optimizer=_optimizer(generator, train.generator_learning_rate, train),
        discriminator_optimizer=_optimizer(discriminator, train.discriminator_learning_rate, train),
        k_t=torch.tensor(0.0, device=device) if config.loss.name == "boundary_equilibrium" else None,
    )


def update_ema(state: GanState, *, batch_size: int, halflife_kimg: float) -> None:
    """Move the averaged generator towards the generator, and copy its buffers.

    The half-life starts at 5 % of the images seen so far, so that the average forgets the untrained weights quickly
    (Karras et al. 2020, arXiv:1912.04958). BatchNorm's running statistics are averages already: they are copied.
    """
    images_seen = (state.step + 1) * batch_size
    halflife = min(halflife_kimg * 1000, 0.05 * images_seen)
    keep = 0.5 ** (batch_size / halflife) if halflife > 0 else 0.0
    averaged: list[Tensor] = list(state.generator_ema.parameters())
    current: list[Tensor] = list(state.generator.parameters())
    with torch.no_grad():
        torch._foreach_lerp_(averaged, current, 1 - keep)
        for buffer, source in zip(state.generator_ema.buffers(), state.generator.buffers(), strict=True):
            buffer.copy_(source)


def update_k_t(state: GanState, real_logits: Tensor, fake_logits: Tensor, config: LossConfig) -> Measurements:
    """Move BEGAN's k_t towards its equilibrium; the k_t of this step, and how well the training has converged."""
    assert state.k_t is not None
    used = state.k_t
    state.k_t, convergence = equilibrium(used, real_logits, fake_logits, config)
    return {"discriminator/k_t": used, "discriminator/convergence": convergence}


def _optimizer(network: nn.Module, learning_rate: float, config: TrainConfig) -> Adam:
    betas = (config.beta1, config.beta2)
    if config.optimizer == "adamw":  # Loshchilov & Hutter 2019, arXiv:1711.05101
        return AdamW(network.parameters(), learning_rate, betas, weight_decay=config.weight_decay, fused=True)
    return Adam(network.parameters(), learning_rate, betas, fused=True)
