"""Threads within what a container may use: quotas of cgroups, affinity, OMP_NUM_THREADS; in training and in serving."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dcgan.config import devices
from dcgan.config.devices import prepare_device
from dcgan.config.schema import TrainConfig
from dcgan.inference import generator
from dcgan.inference.generator import Generator
from dcgan.system import cores
from dcgan.system.cores import default_threads, usable_cores

MANY = 64
V1 = "5:cpuset:/pod\n4:cpu,cpuacct:{}\n0::/\n"
CONTAINERS = {
    "version 2": ("0::/\n", {"cpu.max": "200000 100000"}, 2),
    "version 2, a part of a core": ("0::/\n", {"cpu.max": "150000 100000"}, 2),
    "version 2, less than one core": ("0::/\n", {"cpu.max": "10000 100000"}, 1),
    "version 2, unlimited": ("0::/\n", {"cpu.max": "max 100000"}, MANY),
    "version 2, at the root, which has no such file": ("0::/\n", {}, MANY),
    "version 2, a service of systemd": ("0::/a.slice/b.service\n", {"a.slice/b.service/cpu.max": "300000 100000"}, 3),
    "version 2, the slice above is the narrower": (
        "0::/a.slice/b.service\n",
        {"a.slice/cpu.max": "200000 100000", "a.slice/b.service/cpu.max": "max 100000"},
        2,
    ),
    "version 2, named as its host does": ("0::/../../docker/0123\n", {"cpu.max": "200000 100000"}, 2),
    "version 2 beside version 1": ("1:cpu:/\n0::/pod\n", {"unified/pod/cpu.max": "200000 100000"}, 2),
    "version 1": (
        V1.format("/"),
        {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        2,
    ),
    "version 1, named as its host does": (
        V1.format("/docker/0123"),
        {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "50000\n"},
        2,
    ),
    "version 1, unlimited": (
        V1.format("/"),
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        MANY,
    ),
    "not as documented": (
        "nonsense\n",
        {"cpu.max": "many", "cpu/cpu.cfs_quota_us": "", "cpu/cpu.cfs_period_us": "0"},
        MANY,
    ),
    "no Linux": (None, {}, MANY),
}


@pytest.fixture
def large_host(monkeypatch, tmp_path) -> Path:
    """A machine of 64 cores, with the folders of its system in a temporary one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(MANY)))
    monkeypatch.setattr(cores, "SYSTEM", tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


def write_cgroup(system: Path, named: str | None, files: dict[str, str]) -> None:
    for name, content in {"proc/self/cgroup": named, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        if content is not None:
            (system / name).parent.mkdir(parents=True, exist_ok=True)
            (system / name).write_text(content)


@pytest.mark.parametrize(("named", "files", "expected"), CONTAINERS.values(), ids=CONTAINERS)
def test_the_quota_of_a_container_bounds_the_threads(large_host, named, files, expected):
    write_cgroup(large_host, named, files)
    assert usable_cores() == default_threads() == expected


@pytest.mark.parametrize(("chosen", "threads"), [("3", 3), ("3,2", 3), ("", 2), ("none", 2), ("0", 2), ("-1", 2)])
def test_omp_num_threads_is_the_users_choice_and_nonsense_in_it_is_none(large_host, monkeypatch, chosen, threads):
    write_cgroup(large_host, *CONTAINERS["version 2"][:2])
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    assert default_threads() == threads
    assert usable_cores() == 2


@pytest.fixture
def many_threads():
    """PyTorch as it starts on such a machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(MANY)
    yield
    torch.set_num_threads(before)


def test_training_takes_as_many_threads_as_the_quota_has_cores(large_host, many_threads, monkeypatch, capsys):
    """However busy a few of the host's other cores are."""
    write_cgroup(large_host, *CONTAINERS["version 2"][:2])
    monkeypatch.setattr(devices, "_busy_cores", lambda: 10.0)
    prepare_device(TrainConfig(device="cpu"))
    assert torch.get_num_threads() == 2
    assert capsys.readouterr().out == ""


def test_training_takes_omp_num_threads_also_on_a_busy_machine(large_host, many_threads, monkeypatch):
    torch.set_num_threads(3)  # as PyTorch then starts
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(devices, "_busy_cores", lambda: 2.0)
    prepare_device(TrainConfig(device="cpu"))
    assert torch.get_num_threads() == 3


def test_a_training_on_a_gpu_prepares_its_inputs_within_the_quota(large_host, many_threads, monkeypatch):
    write_cgroup(large_host, *CONTAINERS["version 2"][:2])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_take_gpu", lambda _number: None)
    prepare_device(TrainConfig(device="cuda"))
    assert torch.get_num_threads() == 2


def test_serving_draws_as_many_batches_at_a_time_as_the_quota_has_cores(large_host, monkeypatch, model):
    write_cgroup(large_host, *CONTAINERS["version 2"][:2])
    pools = []

    class Pool(generator.ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            pools.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(generator, "ThreadPoolExecutor", Pool)
    Generator.load(model, providers="cpu").sample(10 * generator.CHUNK)
    assert pools == [2]


def cores_of(*prefix: str) -> str:
    """What a process of its own, started so, may use."""
    command = [*prefix, sys.executable, "-c", "from dcgan.system.cores import *; print(usable_cores())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_process_that_is_bound_to_one_core_uses_one():
    core = min(os.sched_getaffinity(0))
    assert cores_of("taskset", "-c", str(core)) == "1"


def test_a_process_in_a_real_cgroup_uses_its_quota():
    """Where the tester may make one, of either version."""
    version_2 = Path("/sys/fs/cgroup/cgroup.controllers").is_file()
    group = Path("/sys/fs/cgroup", "" if version_2 else "cpu", f"dcgan-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    try:
        if version_2:
            (group / "cpu.max").write_text("100000 100000")
        else:
            (group / "cpu.cfs_quota_us").write_text("100000")
        inside = f'echo $$ > {group}/cgroup.procs; exec "$@"'
        assert cores_of("sh", "-c", inside, "sh") == "1"
    except OSError as error:
        pytest.skip(f"the cgroup takes no quota: {error}")
    finally:
        group.rmdir()
