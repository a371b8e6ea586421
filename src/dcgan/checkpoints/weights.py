"""Trained weights on disk: one file a network, checked before use."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dcgan.checkpoints.tensors import from_arrays, to_arrays
from dcgan.system.errors import BadDataError
from dcgan.system.tensors_file import load_arrays, save_arrays

Network = TypeVar("Network", bound=nn.Module)


def save_weights(folder: Path, *, metadata: Mapping[str, str] | None = None, **networks: nn.Module) -> None:
    """Write each network's weights and buffers to `<name>.safetensors` in `folder`, atomically.

    Args:
        folder: is created if need be.
        metadata: what later readers of every file should know, by name.
        networks: by the name of their file.
    """
    for name, network in networks.items():
        save_arrays(folder / f"{name}.safetensors", to_arrays(network.state_dict()), metadata)


def load_weights(path: Path, network: nn.Module, *, made_by: str) -> None:
    """Load weights that `save_weights` wrote in the stage `made_by` into a network of the same shape.

    Raises:
        BadDataError: the file is missing, damaged, no safetensors file, or holds another network.
    """
    tensors = from_arrays(load_arrays(path, made_by=made_by).arrays)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadDataError(f"{path}: holds another network than params.yaml describes; run `dvc repro`") from error


def restored(network: Network, path: Path, *, device: torch.device, made_by: str = "train") -> Network:
    """The network with the weights in `path`, on `device`, channels last and in evaluation mode.

    Raises:
        BadDataError: as `load_weights`.
    """
    load_weights(path, network, made_by=made_by)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()
