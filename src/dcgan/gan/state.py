"""The only mutable thing in training, and therefore what a checkpoint holds."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from dcgan.checkpoints.tensors import load_named_tensors, named_tensors
from dcgan.config.schema import NUM_CLASSES, GanConfig, TrainConfig
from dcgan.gan.losses import LOSSES
from dcgan.gan.networks import build_discriminator, build_generator

COUNTS = ("step", "best_step", "checks_held", "mode_coverage", "is_collapsed", "rollbacks")
"""Fields of the state that are whole numbers, or yes or no."""


@dataclass
class GanState:
    """Both players, the averaged generator, both optimisers, and how far they are."""

    generator: nn.Module
    discriminator: nn.Module
    generator_ema: nn.Module
    generator_optimizer: Adam
    discriminator_optimizer: Adam
    balance: Tensor
    """How much the fakes' logits count in the discriminator's loss; a scalar that some losses steer."""
    steps_won: Tensor
    """Steps in a row, up to the last, at which the discriminator told every image rightly; int64, on the device."""
    step: int = 0
    best_fcd: float = math.inf
    """The least that a quick judgement found."""
    best_step: int = 0
    """Where it found that."""
    checks_held: int = 0
    """Quick judgements in a row, up to the last one, at which `train.stop_when` held."""
    mode_coverage: int = NUM_CLASSES
    """How many of the ten digits the last quick judgement found."""
    is_collapsed: bool = False
    """Whether one of the players had lost when last looked at."""
    rollbacks: int = 0
    """How often the run went back after a divergence; each time halves the learning rates."""

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self.generator.parameters()).device

    @property
    def score(self) -> str:
        """How the game stands."""
        won = f"{int(self.steps_won)} steps in a row won by the discriminator"
        return f"{self.mode_coverage} of {NUM_CLASSES} digits drawn, {won}"

    @property
    def remarks(self) -> dict[str, str]:
        """What whoever judges the trained networks should know."""
        return {"collapse": self.score} if self.is_collapsed else {}

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state under a unique name such as `generator/stem.0.weight`."""
        counts = {name: torch.tensor(getattr(self, name)) for name in COUNTS}
        return {
            **counts,
            "balance": self.balance,
            "steps_won": self.steps_won,
            "best_fcd": torch.tensor(self.best_fcd, dtype=torch.float64),
            **named_tensors(self._networks, self._optimizers),
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Become the state that `tensors` describes.

        Raises:
            KeyError, RuntimeError, ValueError: a tensor is missing, unexpected or of another shape.
        """
        load_named_tensors(self._networks, self._optimizers, tensors)
        self.balance, self.steps_won = tensors["balance"].to(self.device), tensors["steps_won"].to(self.device)
        self.best_fcd = float(tensors["best_fcd"])
        for name in COUNTS:
            setattr(self, name, tensors[name].item())

    @property
    def _networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.generator_ema,
        }

    @property
    def _optimizers(self) -> dict[str, Optimizer]:
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


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
        balance=torch.tensor(LOSSES[config.loss.name].initial_balance, device=device),
        steps_won=torch.tensor(0, device=device),
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


def _optimizer(network: nn.Module, learning_rate: float, config: TrainConfig) -> Adam:
    betas = (config.beta1, config.beta2)
    if config.optimizer == "adamw":  # Loshchilov & Hutter 2019, arXiv:1711.05101
        return AdamW(network.parameters(), learning_rate, betas, weight_decay=config.weight_decay, fused=True)
    return Adam(network.parameters(), learning_rate, betas, fused=True)
