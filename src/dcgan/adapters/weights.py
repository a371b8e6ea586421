"""Trained weights on disk: plain tensors in a safetensors file that holds their digest, checked before use."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dcgan.core.classifier import Classifier
from dcgan.core.config import ModelConfig
from dcgan.core.dataset import LabelledImages
from dcgan.core.quick_judge import QuickJudge
from dcgan.errors import BadDataError
from dcgan.files import write_bytes

Network = TypeVar("Network", bound=nn.Module)


def save_weights(folder: Path, **networks: nn.Module) -> None:
    """Write each network's weights and buffers to `<name>.safetensors` in `folder`, atomically, with their digest."""
    for name, network in networks.items():
        tensors = {key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}
        content = safetensors.torch.save(tensors, metadata={"sha256": _digest(tensors)})
        write_bytes(folder / f"{name}.safetensors", content)


def load_weights(path: Path, network: nn.Module, *, made_by: str) -> None:
    """Load weights that `save_weights` wrote in the stage `made_by` into a network of the same shape.

    Raises:
        BadDataError: the file is missing, damaged, no safetensors file, or holds another network.
    """
    repair = f"run `dcgan doctor --repair`, then `dvc repro`; if it finds nothing, `dvc repro --force {made_by}`"
    if not path.is_file():
        raise BadDataError(f"{path}: missing; run `dvc repro {made_by}`")
    try:
        tensors = safetensors.torch.load_file(path)
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get("sha256")
    except SafetensorError as error:
        raise BadDataError(f"{path}: not a safetensors file ({error}); {repair}") from error
    if (found := _digest(tensors)) != expected:
        raise BadDataError(f"{path}: damaged: sha256 of its tensors is {found}, expected {expected}; {repair}")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadDataError(f"{path}: holds another network than params.yaml describes; run `dvc repro`") from error


def load_classifier(path: Path, *, device: torch.device) -> Classifier:
    """The classifier that the stage train_classifier wrote, on `device` and in evaluation mode.

    Raises:
        BadDataError: as `load_weights`.
    """
    return restored(Classifier(), path, device=device, made_by="train_classifier")


def load_quick_judge(path: Path, data: LabelledImages, model: ModelConfig, *, device: torch.device) -> QuickJudge:
    """The classifier as a judge of what a training of `model` on `data` draws on its way.

    Raises:
        BadDataError: as `load_weights`; or its features are not finite.
    """
    return QuickJudge(load_classifier(path, device=device), data, model)


def restored(network: Network, path: Path, *, device: torch.device, made_by: str = "train") -> Network:
    """The network with the weights in `path`, on `device`, channels last and in evaluation mode.

    Raises:
        BadDataError: as `load_weights`.
    """
    load_weights(path, network, made_by=made_by)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
