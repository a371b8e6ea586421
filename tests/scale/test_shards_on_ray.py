"""Shards made by Ray: on this machine, on two nodes, and with workers and drivers that are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dcgan.inference.generator import PRETRAINED
from small_shards import contents, manifest

LARGE = ("--count", 40_000, "--shard-size", 1_000, "--seed", 3, "--format", "npy", "--model", PRETRAINED)
"""Long enough for something to happen meanwhile."""
DCGAN = [sys.executable, "-m", "dcgan", "generate"]


def start(*options: object) -> subprocess.Popen[str]:
    command = [*DCGAN, *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, end(process)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shards_in(folder: Path) -> int:
    return len(list(folder.glob("digits-*")))


@pytest.fixture
def embedded(tmp_path, model) -> tuple[object, ...]:
    """Options of a small set, made by one worker of a cluster that ends with the command."""
    options = ("--count", 95, "--shard-size", 20, "--seed", 3, "--format", "npy", "--workers", 1)
    return ("--shards", tmp_path / "ray", "--model", model, *options, "--address", "local")


def test_embedded_ray_makes_the_same_bytes(shards, tmp_path, embedded):
    done = end(start(*embedded))
    assert done[0] == 0, done
    shards(tmp_path / "threads")
    assert contents(tmp_path / "ray") == contents(tmp_path / "threads")


@pytest.mark.slow
def test_what_a_worker_met_is_told_as_if_the_driver_had_met_it(tmp_path, embedded):
    (tmp_path / "ray/digits-000003.npy").mkdir(parents=True)
    code, _, err = end(start(*embedded))
    assert (code, err.count("\n")) == (73, 1), err
    assert f"error: {tmp_path}/ray/digits-000003.npy: cannot be written (Is a directory)" in err


@pytest.fixture
def two_nodes(monkeypatch) -> Iterator[str]:
    """The address of a cluster of two nodes on this machine, a core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> dict[str, bytes]:
    """What a set holds that threads made without interruption."""
    folder = tmp_path_factory.mktemp("straight")
    assert end(start("--shards", folder, *LARGE))[0] == 0
    return contents(folder)


@pytest.mark.slow
def test_both_nodes_of_a_cluster_draw_and_a_killed_worker_costs_nothing(two_nodes, tmp_path, straight):
    driver = start("--shards", tmp_path / "set", *LARGE, "--address", two_nodes)
    wait_for(lambda: shards_in(tmp_path / "set") >= 2, driver)
    drawing = [each for each in psutil.Process().children(recursive=True) if each.name().startswith("ray::_make")]
    assert drawing
    drawing[0].kill()
    code, out, err = end(driver)
    assert code == 0, err
    assert "40 of 40 npy shards are there, 40 made now" in out
    assert "on 2 machines" in out
    assert {
        name: content for name, content in contents(tmp_path / "set").items() if not name.endswith(".tmp")
    } == straight


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--address", "local")])
def test_a_driver_that_is_killed_goes_on_by_the_same_command(tmp_path, straight, options):
    driver = start("--shards", tmp_path / "set", *LARGE, *options)
    wait_for(lambda: shards_in(tmp_path / "set") >= 3, driver)
    driver.kill()
    driver.communicate()
    time.sleep(3)  # in which Ray ends what it had started
    made = shards_in(tmp_path / "set")
    assert 3 <= made < 40
    code, out, err = end(start("--shards", tmp_path / "set", *LARGE, *options))
    assert code == 0, err
    assert "40 of 40" in out
    assert int(out.partition("are there, ")[2].split()[0]) <= 40 - made + 3  # a record may have been missing
    found = contents(tmp_path / "set")
    assert {name: content for name, content in found.items() if not name.endswith(".tmp")} == straight


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--address", "local")])
def test_ctrl_c_ends_driver_and_workers_in_one_line(tmp_path, straight, options):
    driver = start("--shards", tmp_path / "set", *LARGE, *options)
    wait_for(lambda: shards_in(tmp_path / "set") >= 3, driver)
    os.killpg(driver.pid, signal.SIGINT)
    code, _, err = end(driver)
    assert code == 130, err
    lines = [line for line in err.splitlines() if not line.startswith("generate: ")]
    assert lines == [f"error: {tmp_path}/set: stopped; run the same command again to go on"]
    assert not list(tmp_path.rglob("*.tmp"))
    assert end(start("--shards", tmp_path / "set", *LARGE, *options))[0] == 0
    assert contents(tmp_path / "set") == straight


@pytest.mark.slow
def test_two_processes_by_index_as_an_indexed_job_starts_them(tmp_path, straight):
    jobs = []
    for index in ("0", "1"):
        command = [*DCGAN, *map(str, ("--shards", tmp_path / "set", *LARGE, "--jobs", 2, "--workers", 1))]
        jobs.append(subprocess.Popen(command, env=os.environ | {"JOB_COMPLETION_INDEX": index}))
    assert [job.wait(timeout=240) for job in jobs] == [0, 0]
    assert contents(tmp_path / "set") == straight
    assert len(manifest(tmp_path / "set")["shards"]) == 40
