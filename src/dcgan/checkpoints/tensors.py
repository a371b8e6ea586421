"""What a training that can be taken up again consists of: tensors by name."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Resumable(Protocol):
    """The state of a training; two states with equal tensors go on to equal ones."""

    step: int
    best_step: int
    """Where the best state so far was; 0 if none was told."""
    rollbacks: int
    """How often the training went back after a divergence."""

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state under a unique name such as `generator/stem.0.weight`."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Become the state that `tensors` describes.

        Raises:
            KeyError, RuntimeError, ValueError: a tensor is missing, unexpected or of another shape.
        """


State = TypeVar("State", bound=Resumable)


class Checkpoints(Protocol):
    """Where states are kept."""

    def save(self, state: Resumable) -> None:
        """Keep the state as it is now."""

    def restore(self, state: State) -> State:
        """Make a new state the newest that was kept, if there is one, and return it."""


def named_tensors(networks: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """The weights and buffers of the networks, as `generator/stem.0.weight`, and the optimisers' moments."""
    tensors: dict[str, Tensor] = {}
    for owner, network in networks.items():
        tensors |= {f"{owner}/{name}": tensor for name, tensor in network.state_dict().items()}
    for owner, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{owner}/{index}/{name}": tensor for name, tensor in moments.items()}
    return tensors


def load_named_tensors(
    networks: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer], tensors: Mapping[str, Tensor]
) -> None:
    """Bring back what `named_tensors` took.

    Raises:
        KeyError, RuntimeError, ValueError: a tensor is missing, unexpected or of another shape.
    """
    for owner, network in networks.items():
        network.load_state_dict(_below(owner, tensors))
    for owner, optimizer in optimizers.items():
        weights = optimizer.param_groups[0]["params"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(owner, tensors).items():
            index, _, moment = name.partition("/")
            moments.setdefault(int(index), {})[moment] = _laid_out_like(weights[int(index)], tensor)
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})


def _laid_out_like(weight: Tensor, moment: Tensor) -> Tensor:
    """A copy of the moment in the weight's memory format: the fused optimiser walks both in storage order."""
    return torch.empty_like(weight).copy_(moment) if moment.shape == weight.shape else moment.clone()


def _below(owner: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{owner}/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
