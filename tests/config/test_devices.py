"""What `auto` stands for: arithmetic, by CPUs that were measured; graphs; threads, by the cores that are free."""

import subprocess
import sys
import time

import pytest
import torch

from dcgan.config import devices
from dcgan.config.devices import prepare_device, resolve_cuda_graph, resolve_precision
from dcgan.config.params_file import changed
from dcgan.config.schema import GanConfig, TrainConfig
from dcgan.system import cores
from dcgan.system.errors import UsageError
from support import CPU


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": False}, "fp32"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"architecture": "aarch64"}, "fp32"),
    ],
)
def test_auto_is_bf16_where_it_was_measured_to_be_faster(monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", CPU) == precision


def test_auto_is_fp32_where_pytorch_does_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_what_is_asked_for_is_taken(wanted):
    assert resolve_precision(wanted, CPU) == wanted


@pytest.mark.parametrize(
    ("changes", "device", "found"),
    [
        ({}, "cuda", "on"),
        ({}, "cpu", "off"),
        ({"train.cuda_graph": "off"}, "cuda", "off"),
        ({"model.discriminator_dropout": 0.3}, "cuda", "off"),
        ({"train.cuda_graph": "on"}, "cuda", "on"),
    ],
)
def test_steps_are_replayed_as_graphs_on_a_gpu_unless_they_are_random(changes, device, found):
    assert resolve_cuda_graph(changed(GanConfig(), changes), torch.device(device)) == found


@pytest.mark.parametrize(
    ("changes", "device", "message"),
    [({}, "cpu", "no GPU"), ({"model.discriminator_dropout": 0.3}, "cuda", r"model\.discriminator_dropout")],
)
def test_graphs_that_are_asked_for_and_cannot_be_are_refused(changes, device, message):
    config = changed(GanConfig(), changes | {"train.cuda_graph": "on"})
    with pytest.raises(UsageError, match=rf"train\.cuda_graph.*{message}"):
        resolve_cuda_graph(config, torch.device(device))


@pytest.fixture
def four_threads(monkeypatch):
    """PyTorch as it starts on four cores."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "usable_cores", lambda: 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("looks", "threads"),
    [([0, 0, 0], 4), ([0, 3.6, 3.8], 4), ([0.4, 0.5, 0.3], 4), ([1.1, 0.9, 1], 3), ([2, 2.4, 3], 2), ([4, 4, 4], 1)],
)
def test_as_many_threads_compute_as_cores_stay_free(four_threads, monkeypatch, capsys, looks, threads):
    monkeypatch.setattr(devices, "_busy_cores", iter(looks).__next__)
    prepare_device(TrainConfig(device="cpu"))
    assert torch.get_num_threads() == threads
    assert (capsys.readouterr().out == "") == (threads == 4)


def test_another_process_that_keeps_a_core_busy_is_noticed(four_threads):
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        time.sleep(0.2)
        prepare_device(TrainConfig(device="cpu"))
        other.kill()
    assert torch.get_num_threads() < 4


def test_threads_that_are_asked_for_or_those_of_an_unfinished_training_are_taken(four_threads):
    prepare_device(TrainConfig(device="cpu", threads=2), threads=3)
    assert torch.get_num_threads() == 2
    prepare_device(TrainConfig(device="cpu"), threads=3)
    assert torch.get_num_threads() == 3
