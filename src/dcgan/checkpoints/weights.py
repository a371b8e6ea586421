"""Trained weights on disk: plain tensors in a safetensors file that holds their digest, checked before use."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dcgan.system.errors import BadDataError
from dcgan.system.files import write_bytes

Network = TypeVar("Network", bound=nn.Module)


def save_weights(folder: Path, *, remarks: Mapping[str, str] | None = None, **networks: nn.Module) -> None:
    """Write each network's weights and buffers to `<name>.safetensors` in `folder`, atomically, with their digest.

    Args:
        folder: is created if need be.
        remarks: what later readers of every file should know, by name.
        networks: by the name of their file.
    """
    for name, network in networks.items():
        tensors = {key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}
        metadata = _metadata(remarks or {}, sha256=_digest(tensors, remarks or {}))
        write_bytes(folder / f"{name}.safetensors", safetensors.torch.save(tensors, metadata=metadata))


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
        remarks, expected = _read_metadata(path)
    except (SafetensorError, ValueError, TypeError) as error:
        raise BadDataError(f"{path}: not a safetensors file ({error}); {repair}") from error
    if (found := _digest(tensors, remarks)) != expected:
        raise BadDataError(f"{path}: damaged: sha256 of its tensors is {found}, expected {expected}; {repair}")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadDataError(f"{path}: holds another network than params.yaml describes; run `dvc repro`") from error


def load_remarks(path: Path) -> dict[str, str]:
    """What `save_weights` was told to remark on weights that `load_weights` or `restored` have found whole."""
    remarks, _ = _read_metadata(path)
    return remarks


def restored(network: Network, path: Path, *, device: torch.device, made_by: str = "train") -> Network:
    """The network with the weights in `path`, on `device`, channels last and in evaluation mode.

    Raises:
        BadDataError: as `load_weights`.
    """
    load_weights(path, network, made_by=made_by)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def _metadata(remarks: Mapping[str, str], *, sha256: str) -> dict[str, str]:
    """One entry only: the order of several is another one in every file."""
    return {"remarks": json.dumps({**remarks, "sha256": sha256}, sort_keys=True)} if remarks else {"sha256": sha256}


def _read_metadata(path: Path) -> tuple[dict[str, str], str | None]:
    """The remarks, and the digest if there is one."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    entries = dict(json.loads(metadata["remarks"])) if "remarks" in metadata else dict(metadata)
    digest = entries.pop("sha256", None)
    return entries, digest


def _digest(tensors: Mapping[str, Tensor], remarks: Mapping[str, str]) -> str:
    digest = hashlib.sha256("".join(f"{name}: {text}\n" for name, text in sorted(remarks.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
