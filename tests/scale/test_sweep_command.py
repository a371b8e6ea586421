"""`dcgan sweep` as typed: what cannot be is refused before Ray is started, and nothing is left."""

import socket
import sys

import pytest

import scale_sweeps as sweeps
from dcgan.scale import cluster
from dcgan.scale.search import LastingAsha
from dcgan.system.errors import UnavailableError, UsageError
from dcgan.system.locks import exclusive


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, a workspace in which a sweep could begin, if Ray could."""
    sweeps.sweep_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (["--trials", "0"], 64, "--trials: expected 1 to 10,000"),
        (["--trials", "many"], 64, "many"),
        (["--cpus-per-trial", "0"], 64, "--cpus-per-trial: expected 1 to"),
        (["--gpus-per-trial", "1.5"], 64, "--gpus-per-trial: expected a share"),
        (["--gpus-per-trial", "nan"], 64, "--gpus-per-trial: expected a share"),
        (["--seed", "-1"], 64, "--seed: expected 0 to"),
        (["--seeds", "-1"], 64, "--seeds: expected 0 to 100"),
        (["--name", "../x"], 64, "--name: '../x': take letters"),
        (["--space", "none.yaml"], 64, "none.yaml: no such file"),
        (["--address", "ray://here:10001"], 64, "is not HOST:PORT or auto"),
        (["--address", "nowhere"], 64, "is not HOST:PORT or auto"),
        (["--address", "127.0.0.1:9"], 69, "Ray at 127.0.0.1:9 cannot be reached"),
        (["--address", "no-such-host.invalid:6379"], 69, "cannot be reached"),
    ],
)
def test_a_users_mistake_is_one_line_and_leaves_no_sweep(dcgan, folder, options, exit_code, message):
    told = dcgan("sweep", *options)
    assert (told.exit_code, len(told.err.splitlines())) == (exit_code, 1), told.err
    assert message in told.err
    assert not list(folder.glob(".sweeps/*/sweep.json"))


def test_an_address_in_the_environment_counts(dcgan, folder, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert dcgan("sweep").exit_code == 69


@pytest.mark.parametrize("missing", ["params.yaml", "data/dataset.safetensors", "models/classifier.safetensors"])
def test_a_folder_that_is_no_workspace_is_told(dcgan, folder, missing):
    (folder / missing).unlink()
    told = dcgan("sweep")
    assert told.exit_code == (64 if missing == "params.yaml" else 65)
    assert missing in told.err
    assert not (folder / ".sweeps").exists()


def test_a_search_space_that_cannot_be_is_refused_before_anything_starts(dcgan, folder):
    (folder / "experiments/sweep.yaml").write_text("space: {train.epoch: [1]}")
    told = dcgan("sweep")
    assert told.exit_code == 64
    assert told.err == "error: experiments/sweep.yaml: unknown parameter train.epoch; did you mean train.epochs?\n"
    assert not (folder / ".sweeps").exists()


def test_a_sweep_that_another_process_holds_is_75(dcgan, folder):
    with exclusive(folder / ".sweeps/default/lock"):
        told = dcgan("sweep")
    assert told.exit_code == 75
    assert "locked by pid" in told.err


def test_without_ray_the_extra_is_named(dcgan, folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "ray", None)
    told = dcgan("sweep")
    assert told.exit_code == 69
    assert told.err == "error: dcgan sweep needs ray; run `pip install '.[scale]'` in the repository\n"


def test_a_server_that_is_no_ray_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(cluster, "JOIN_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="does not answer"):
            cluster.refuse_unreachable(address)


def test_all_waiting_for_a_cluster_ends_within_half_a_minute():
    assert cluster.CONNECT_SECONDS + cluster.JOIN_SECONDS < 28


class Ray:
    """Two machines."""

    def nodes(self):
        return [
            {"Alive": True, "Resources": {"CPU": 2.0}},
            {"Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0}},
            {"Alive": False, "Resources": {"CPU": 64.0}},
        ]


@pytest.mark.parametrize(("cpus", "gpus", "fits"), [(2, 0, True), (1, 0.5, True), (2, 0.5, False), (3, 0, False)])
def test_a_trial_that_no_machine_can_hold_is_refused(cpus, gpus, fits):
    if fits:
        cluster.refuse_too_large(Ray(), cpus=cpus, gpus=gpus)
    else:
        with pytest.raises(UsageError, match="2 CPUs and 0 GPUs or 1 CPUs and 1 GPUs; lower --cpus-per-trial"):
            cluster.refuse_too_large(Ray(), cpus=cpus, gpus=gpus)


class Trial:
    def __init__(self, number: int) -> None:
        self.trial_id = f"id{number}"


def decide(asha: LastingAsha, number: int, *, images: int, result: float) -> str:
    return asha.on_trial_result(None, Trial(number), {"images": images, "fcd_over_floor": result})


def test_the_scheduler_remembers_its_rungs_when_a_driver_is_killed(tmp_path):
    def new() -> LastingAsha:
        asha = LastingAsha(tmp_path / "asha", longest=900)
        asha.set_search_properties("fcd_over_floor", "min")
        for number in (1, 2, 3, 4):
            asha.on_trial_add(None, Trial(number))
        return asha

    before = new()
    assert decide(before, 1, images=300, result=2.0) == "CONTINUE"
    assert decide(before, 2, images=90, result=9.0) == "CONTINUE", "a ninth has not been reached"
    after = new()
    assert decide(after, 2, images=300, result=3.0) == "STOP"
    assert decide(after, 3, images=300, result=1.0) == "CONTINUE"
    assert decide(after, 1, images=300, result=2.0) == "CONTINUE", "it is decided once"
    assert decide(after, 3, images=900, result=99.0) == "CONTINUE", "what comes to its end ends by itself"
