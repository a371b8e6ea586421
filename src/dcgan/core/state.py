"""The only mutable thing in training, and therefore what a checkpoint holds."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from dcgan.core.config import GanConfig, TrainConfig
from dcgan.core.losses import LOSSES
from dcgan.core.networks import build_discriminator, build_generator


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
    step: int = 0
    best_fcd: float = math.inf
    """The least that a quick judgement found."""
    best_step: int = 0
    """Where it found that."""
    checks_held: int = 0
    """Quick judgements in a row, up to the last one, at which `train.stop_when` held."""

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self.generator.parameters()).device


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
    )


def average(state: GanState, *, batch_size: int, halflife_kimg: float) -> None:
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


def tensors_of(state: GanState) -> dict[str, Tensor]:
    """Every tensor of the state under a unique name such as `generator/stem.0.weight`."""
    tensors = {
        "step": torch.tensor(state.step),
        "balance": state.balance,
        "best_fcd": torch.tensor(state.best_fcd, dtype=torch.float64),
        "best_step": torch.tensor(state.best_step),
        "checks_held": torch.tensor(state.checks_held),
    }
    for player, network in _networks(state).items():
        tensors |= {f"{player}/{name}": tensor for name, tensor in network.state_dict().items()}
    for player, optimizer in _optimizers(state).items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{player}/{index}/{name}": tensor for name, tensor in moments.items()}
    return tensors


def load_tensors(state: GanState, tensors: Mapping[str, Tensor]) -> None:
    """Make `state` the one that `tensors_of` described.

    Raises:
        KeyError, RuntimeError: a tensor is missing, unexpected or of another shape.
    """
    for player, network in _networks(state).items():
        network.load_state_dict(_below(player, tensors))
    for player, optimizer in _optimizers(state).items():
        weights = optimizer.param_groups[0]["params"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(player, tensors).items():
            index, _, moment = name.partition("/")
            moments.setdefault(int(index), {})[moment] = _laid_out_like(weights[int(index)], tensor)
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    state.balance = tensors["balance"].to(state.device)
    state.step = int(tensors["step"])
    state.best_fcd = float(tensors["best_fcd"])
    state.best_step = int(tensors["best_step"])
    state.checks_held = int(tensors["checks_held"])


def _optimizer(network: nn.Module, learning_rate: float, config: TrainConfig) -> Adam:
    betas = (config.beta1, config.beta2)
    if config.optimizer == "adamw":  # Loshchilov & Hutter 2019, arXiv:1711.05101
        return AdamW(network.parameters(), learning_rate, betas, weight_decay=config.weight_decay, fused=True)
    return Adam(network.parameters(), learning_rate, betas, fused=True)


def _networks(state: GanState) -> dict[str, nn.Module]:
    return {
        "generator": state.generator,
        "discriminator": state.discriminator,
        "generator_ema": state.generator_ema,
    }


def _optimizers(state: GanState) -> dict[str, Adam]:
    return {
        "generator_optimizer": state.generator_optimizer,
        "discriminator_optimizer": state.discriminator_optimizer,
    }


def _laid_out_like(weight: Tensor, moment: Tensor) -> Tensor:
    """The moment in the weight's memory format: the fused optimiser walks both in storage order."""
    return torch.empty_like(weight).copy_(moment) if moment.shape == weight.shape else moment


def _below(player: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{player}/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
