"""System metrics: sampled every few seconds, from whatever the machine has, and never a reason to fail."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from dcgan.tracking.jsonl import JsonlTracker, read_points
from dcgan.tracking.machine import MachineMonitor

CPU = {"cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage"}


@pytest.fixture
def pynvml(monkeypatch) -> ModuleType:
    """A driver with one GPU."""
    module = ModuleType("pynvml")
    module.nvmlInit = module.nvmlDeviceGetHandleByIndex = lambda *_: None
    module.nvmlDeviceGetCount = lambda: 1
    module.nvmlDeviceGetMemoryInfo = lambda _: SimpleNamespace(used=2_500_000)
    module.nvmlDeviceGetUtilizationRates = lambda _: SimpleNamespace(gpu=87)
    module.nvmlDeviceGetPowerUsage = lambda _: 350_000
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_processor_memory_and_gpus_are_told_by_the_keys_of_mlflow(pynvml):
    sample = MachineMonitor(interval=0).sample()
    assert {f"system/{key}" for key in CPU} <= sample.keys()
    assert 0 < sample["system/system_memory_usage_percentage"] <= 100
    assert sample["system/gpu_0_memory_usage_megabytes"] == 2.5
    assert sample["system/gpu_0_utilization_percentage"] == 87
    assert sample["system/gpu_0_power_usage_watts"] == 350


def test_a_node_without_psutil_or_a_driver_has_none(monkeypatch, pynvml):
    monkeypatch.setitem(sys.modules, "psutil", None)
    pynvml.nvmlDeviceGetCount = lambda: 1 / 0
    assert MachineMonitor(interval=0).sample() == {}


def test_samples_are_rare_and_stand_in_the_rows_of_timings(tmp_path):
    assert MachineMonitor(interval=60).sample() == {}
    samples = iter([{"system/cpu_utilization_percentage": 50.0}, {}, {}, {}])
    with JsonlTracker(tmp_path, resume_from_step=0, sample_machine=lambda: next(samples)) as tracker:
        tracker.log_metrics({"generator/loss": 1.0}, step=10)
        tracker.log_timings({"train/images_per_second": 99.0}, step=10)
        tracker.log_metrics({"generator/loss": 0.5}, step=20)
    rows = [json.loads(line) for line in (tmp_path / "timings.jsonl").read_text().splitlines()]
    assert [row.get("system/cpu_utilization_percentage") for row in rows] == [50.0, None, None]
    assert "system" not in (tmp_path / "training/history.jsonl").read_text()
    (point,) = (each for each in read_points(tmp_path, with_timings=True) if each.key.startswith("system/"))
    assert (point.value, point.step, point.time_ms) == (50.0, 10, rows[0]["time_ms"])
