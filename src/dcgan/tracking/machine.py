"""What the machine does during a training, by the keys that MLflow's page *System metrics* shows."""

import time
from collections.abc import Mapping
from contextlib import suppress

SYSTEM = "system/"
INTERVAL = 5.0
"""Least seconds between two samples."""
MEGABYTE = 1e6


class MachineMonitor:
    """Samples the load of the processor and of NVIDIA GPUs, and memory, every few seconds.

    Without psutil it finds nothing, and without nvidia-ml-py nothing of GPUs: neither ends a training.
    """

    def __init__(self, *, interval: float = INTERVAL) -> None:
        """Begin; the first sample tells of the time from now on."""
        self._interval, self._sampled = interval, time.monotonic()
        with suppress(ImportError):
            import psutil

            psutil.cpu_percent()

    def sample(self) -> Mapping[str, float]:
        """The metrics by their keys; none if the last sample is not `interval` old."""
        if time.monotonic() - self._sampled < self._interval:
            return {}
        self._sampled = time.monotonic()
        return _processor() | _gpus()


def _processor() -> dict[str, float]:
    try:
        import psutil
    except ImportError:
        return {}
    memory = psutil.virtual_memory()
    return {
        f"{SYSTEM}cpu_utilization_percentage": psutil.cpu_percent(),
        f"{SYSTEM}system_memory_usage_megabytes": round(memory.used / MEGABYTE, 1),
        f"{SYSTEM}system_memory_usage_percentage": memory.percent,
    }


def _gpus() -> dict[str, float]:
    metrics: dict[str, float] = {}
    with suppress(Exception):  # no driver, no GPU, or one that does not tell
        import pynvml

        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            gpu, key = pynvml.nvmlDeviceGetHandleByIndex(index), f"{SYSTEM}gpu_{index}"
            memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
            metrics[f"{key}_memory_usage_megabytes"] = round(memory.used / MEGABYTE, 1)
            metrics[f"{key}_utilization_percentage"] = float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
            metrics[f"{key}_power_usage_watts"] = pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000
    return metrics
