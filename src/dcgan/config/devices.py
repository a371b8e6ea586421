"""Which device and which arithmetic this machine offers."""

import dataclasses
import os
import time
from typing import Literal

import torch

from dcgan.config.rules import GRAPH_AND_DROPOUT
from dcgan.config.schema import GanConfig, Precision, TrainConfig
from dcgan.system.cores import chosen_threads, default_threads
from dcgan.system.errors import UsageError

LOOKS, LOOK_SECONDS = 3, 0.2
"""How often, and for how long, the load of the cores is measured; a short burst of another process does not count."""


def prepare_device(config: TrainConfig, *, threads: int | None = None) -> torch.device:
    """The device to compute on (`auto`: the GPU if there is one); sets PyTorch's threads and repeatable algorithms.

    Args:
        config: `train.threads` is how many threads compute.
        threads: how many do so on a CPU where it is None; None here too: as many as there are free cores.

    Raises:
        UsageError: a GPU was asked for, but PyTorch finds none.
    """
    torch.backends.cudnn.deterministic = True
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("train.device: cuda was asked for, but PyTorch finds no GPU; use cpu or auto")
    if config.device != "cpu" and torch.cuda.is_available():
        _take_gpu(int(os.environ.get("LOCAL_RANK", "0")))
        torch.set_num_threads(config.threads or _own_threads())
        return torch.device("cuda")
    torch.set_num_threads(config.threads or threads or _free_threads())
    return torch.device("cpu")


def _own_threads() -> int:
    """PyTorch's own choice of threads, which knows no quota of a container's, within what this process may use."""
    return min(torch.get_num_threads(), default_threads())


def _free_threads() -> int:
    """As many of our own threads as there are cores that no other process keeps busy; all if the user chose them.

    Threads wait for each other hundreds of times a step: one without a core of its own holds all of them up.
    """
    wanted = _own_threads()
    if wanted == 1 or chosen_threads():
        return wanted
    busy = round(min(_busy_cores() for _ in range(LOOKS)))
    free = min(wanted, max(1, torch.get_num_threads() - busy))
    if free < wanted:
        computing = "1 thread computes" if free == 1 else f"{free} threads compute"
        print(f"note: other processes keep cores busy ({busy}), so {computing} here; train.threads sets another number")
    return free


def _busy_cores() -> float:
    """How many of the cores that this process may use were busy while it slept; 0 on a bare node.

    Niced processes do not count: they give way.
    """
    try:
        import psutil
    except ModuleNotFoundError:
        return 0.0
    times = []
    for seconds in (LOOK_SECONDS, 0):
        each = psutil.cpu_times(percpu=True)
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
        times.append(sum(each[core].user + each[core].system for core in allowed if core < len(each)))
        time.sleep(seconds)
    return float(times[1] - times[0]) / LOOK_SECONDS


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
        GRAPH_AND_DROPOUT: bool(config.model.discriminator_dropout),
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
