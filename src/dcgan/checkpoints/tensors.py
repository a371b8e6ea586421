"""What a training that can be resumed consists of: tensors by name, and a few numbers."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer


class Resumable(Protocol):
    """The state of a training; two states with equal tensors and progress go on to equal ones."""

    step: int

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state under a unique name such as `generator/stem.0.weight`."""

    def progress(self) -> dict[str, Any]:
        """The rest of the state, as JSON holds it: `step`, and `rollbacks` and `best_step` where there are such."""

    def load(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Become the state that these describe."""


State = TypeVar("State", bound=Resumable)


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Tensors as C-contiguous arrays on the CPU, as files hold them."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """The arrays as tensors, in the same memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


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
