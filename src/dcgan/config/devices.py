"""Which device and which arithmetic this machine offers."""

import dataclasses
import os
from typing import Literal

import torch

from dcgan.config.schema import GanConfig, Precision, TrainConfig
from dcgan.system.errors import UsageError


def prepare_device(config: TrainConfig) -> torch.device:
    """The device to compute on (`auto`: the GPU if there is one); sets PyTorch's threads and repeatable algorithms.

    Raises:
        UsageError: a GPU was asked for, but PyTorch finds none.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.backends.cudnn.deterministic = True
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("train.device: cuda was asked for, but PyTorch finds no GPU; use cpu or auto")
    if config.device != "cpu" and torch.cuda.is_available():
        _take_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    available = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(available if config.device == "auto" else config.device)


def _take_gpu(number: int) -> None:
    """Let `cuda` stand for one of this machine's GPUs: torchrun numbers the processes of a machine in LOCAL_RANK."""
    if number >= (count := torch.cuda.device_count()):
        raise UsageError(f"torchrun: process {number} finds only {count} GPUs; lower --nproc-per-node")
    torch.cuda.set_device(number)


def resolve(config: GanConfig, device: torch.device) -> GanConfig:
    """The configuration with every `auto` replaced by what it means on `device`."""
    train = dataclasses.replace(
        config.train,
        device="cuda" if device.type == "cuda" else "cpu",
        precision=resolve_precision(config.train.precision, device),
        cuda_graph=resolve_cuda_graph(config, device),
    )
    return dataclasses.replace(config, train=train)


def resolve_precision(wanted: Precision, device: torch.device) -> Literal["bf16", "fp32"]:
    """The arithmetic of the networks; `auto` is bf16 only where the hardware computes it natively."""
    if wanted != "auto":
        return wanted
    return "bf16" if _has_native_bf16(device) else "fp32"


def resolve_cuda_graph(config: GanConfig, device: torch.device) -> Literal["on", "off"]:
    """Whether steps are replayed as CUDA graphs.

    Raises:
        UsageError: they cannot be, but `train.cuda_graph` is on.
    """
    wanted = config.train.cuda_graph
    obstacles = {
        f"there is no GPU in use ({device.type})": device.type != "cuda",
        "dropout is random, and a graph would repeat it; set model.discriminator_dropout: 0": bool(
            config.model.discriminator_dropout
        ),
    }
    obstacle = next((reason for reason, is_there in obstacles.items() if is_there), None)
    if wanted == "on" and obstacle:
        raise UsageError(f"train.cuda_graph: on cannot be: {obstacle}")
    return "off" if wanted == "off" or obstacle else "on"


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # By measurement (docs/experiments.md): AMX gains by it, AVX512-BF16 gains on AMD and loses on Intel.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # torch >= 2.12
    is_amd = "AMD" in capabilities.get("cpu_name", "")
    return bool(capabilities.get("amx_bf16") or (is_amd and capabilities.get("avx512_bf16")))
