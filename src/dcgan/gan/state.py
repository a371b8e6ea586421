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
from dcgan.gan.parallel import average


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
        if self.k_t is not None:
            self.k_t.copy_(tensors["k_t"])
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
        generator_optimizer=_optimizer(generator, train),
        discriminator_optimizer=_optimizer(discriminator, train),
        k_t=torch.tensor(0.0, device=device) if config.loss.name == "boundary_equilibrium" else None,
        monitor=Monitor(mode_coverage=model.num_classes, num_classes=model.num_classes),
    )


@torch.no_grad()
def update_ema(state: GanState, weight: Tensor) -> None:
    """Move the averaged generator by a share `weight` of its way to the generator, and copy the generator's buffers.

    These are BatchNorm's running statistics, which are averages already.
    """
    averaged: list[Tensor] = list(state.generator_ema.parameters())
    current: list[Tensor] = list(state.generator.parameters())
    torch._foreach_lerp_(averaged, current, [weight] * len(averaged))
    for buffer, source in zip(state.generator_ema.buffers(), state.generator.buffers(), strict=True):
        buffer.copy_(source)


def update_k_t(k_t: Tensor, real_logits: Tensor, fake_logits: Tensor, config: LossConfig) -> Measurements:
    """Move BEGAN's k_t towards its equilibrium; the k_t of this step, and how well the training has converged."""
    used = k_t.clone()
    following, convergence = equilibrium(used, real_logits, fake_logits, config)
    k_t.copy_(following)
    average([k_t])
    return {"discriminator/k_t": used, "discriminator/convergence": convergence}


def _optimizer(network: nn.Module, config: TrainConfig) -> Adam:
    """Its learning rate is a tensor that every step writes: a CUDA graph would repeat a number for ever."""
    weights = list(network.parameters())
    is_cuda = weights[0].is_cuda
    rate = torch.zeros((), dtype=torch.float32 if is_cuda else torch.float64, device=weights[0].device)
    kind, decay = (AdamW, config.weight_decay) if config.optimizer == "adamw" else (Adam, 0.0)
    return kind(weights, rate, (config.beta1, config.beta2), weight_decay=decay, fused=True, capturable=is_cuda)
