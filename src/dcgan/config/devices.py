"""Which device and which arithmetic this machine offers."""

import dataclasses
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
    available = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(available if config.device == "auto" else config.device)


def resolve(config: GanConfig, device: torch.device) -> GanConfig:
    """The configuration with every `auto` replaced by what it means on `device`."""
    train = dataclasses.replace(
        config.train,
        device="cuda" if device.type == "cuda" else "cpu",
        precision=resolve_precision(config.train.precision, device),
    )
    return dataclasses.replace(config, train=train)


def resolve_precision(wanted: Precision, device: torch.device) -> Literal["bf16", "fp32"]:
    """The arithmetic of the networks; `auto` is bf16 only where the hardware computes it natively."""
    if wanted != "auto":
        return wanted
    return "bf16" if _has_native_bf16(device) else "fp32"


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # By measurement (docs/experiments.md): AMX gains by it, AVX512-BF16 gains on AMD and loses on Intel.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # torch >= 2.12
    is_amd = "AMD" in capabilities.get("cpu_name", "")
    return bool(capabilities.get("amx_bf16") or (is_amd and capabilities.get("avx512_bf16")))
