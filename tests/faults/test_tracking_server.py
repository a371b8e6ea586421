"""A real MLflow server that is away, dies, hangs, fails or is slow while the stage `train` runs as a process.

Whatever it does, the training ends well with the bytes of an untracked one, having waited ten seconds at most in all,
and `dcgan sync` makes the run complete afterwards.
"""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.commands.model_source import load_generator
from dcgan.config import workspace as files
from dcgan.system.files import sha256_of
from dcgan.tracking.store import tracking_uri
from tiny_workspace import new_workspace, run_stage, stage_command, stage_environment, weights_in, write_params
from tracking_server import Proxy, TrackingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONGEST_BLOCK = 10.0
MIDDLE = 60
TRAINING = {"epochs": 500, "max_steps": 120, "report_every": 10, "checkpoint_every": 60, "sample_every": 30}
NOTHING = "sent 0 points, 0 grids and 0 artifacts to run "
PLANTED = f"""
import atexit, pathlib, time
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.live import LiveSync

waited, genuine = 0.0, JsonlTracker.log_samples

def timed(function):
    def wrapper(*arguments):
        global waited
        waited -= time.monotonic()
        function(*arguments)
        waited += time.monotonic()
    return wrapper

def rest(self, pixels, *, step):
    genuine(self, pixels, step=step)
    while step == {MIDDLE} and not pathlib.Path("go").exists():
        time.sleep(0.02)

JsonlTracker.log_samples = rest
LiveSync.__enter__, LiveSync.__exit__ = timed(LiveSync.__enter__), timed(LiveSync.__exit__)
atexit.register(lambda: pathlib.Path("waited.txt").write_text(str(waited)))
"""
"""Goes before the stage's script: it rests in its middle, and tells how long it waits for tracking."""

START = "start"
KILL, STOP, GO_ON = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
FAIL, DAWDLE, DAWDLE_CREATING, HEAL = {"status": 500}, {"delay": 3.5}, {"delay": 6.0, "slow": "runs/create"}, {}
FAULTS = {
    "none": ([START], [], []),
    "down from the start": ([], [], [START]),
    "killed in the middle": ([START], [KILL], [START]),
    "killed, and restarted while training runs": ([START], [KILL, START], []),
    "hangs in the middle": ([START], [STOP], [GO_ON]),
    "hangs from the start": ([START, STOP], [], [GO_ON]),
    "fails in the middle": ([START], [FAIL], [HEAL]),
    "slow from the start": ([START, DAWDLE], [], [HEAL]),
    "slow from the middle": ([START], [DAWDLE], [HEAL]),
    "creates the run but does not answer": ([START, DAWDLE_CREATING], [], [HEAL]),
}
"""What is done to the server before the training, in its middle, and after it."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, bytes]:
    """What the training comes to without MLflow."""
    workspace = new_workspace(tmp_path_factory.mktemp("untracked"), train=TRAINING)
    done = run_stage("train", workspace, absent=["mlflow"])
    assert done.returncode == 0, done.stderr
    return weights_in(workspace)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which a training can begin."""
    (tmp_path / "workspace").mkdir()
    tracked.use_folder(tmp_path / "workspace", monkeypatch)
    return new_workspace(tmp_path / "workspace", train=TRAINING)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrackingServer]:
    """A server that is not started yet."""
    server = TrackingServer(tmp_path / "server")
    yield server
    server.end()


def do(acts: list[str | signal.Signals | dict], server: TrackingServer, proxy: Proxy) -> None:
    for act in acts:
        if act == START:
            server.start()
        elif isinstance(act, signal.Signals):
            server.send(act)
        else:
            time.sleep(proxy.delay)  # what is on its way arrives
            proxy.behave(**act)


@contextmanager
def training(workspace: Path) -> Iterator[subprocess.Popen[str]]:
    """A training in its middle; it is killed if it still runs at the end of the block."""
    python, option, script = stage_command("train")
    environment = stage_environment(workspace) | {"MLFLOW_TRACKING_URI": tracking_uri()}
    process = subprocess.Popen(
        [python, option, PLANTED + script], cwd=workspace, env=environment, stderr=subprocess.PIPE, text=True
    )
    middle = workspace / files.SAMPLES / f"step-{MIDDLE:07d}.png"
    try:
        tracked.wait_for(lambda: middle.exists() or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
        yield process
    finally:
        process.kill()


def end_training(process: subprocess.Popen[str], workspace: Path, weights: dict[str, bytes]) -> list[str]:
    """Go on to the end, which comes in time and with these weights; returns the warnings."""
    (workspace / "go").touch()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    waited = float((workspace / "waited.txt").read_text())
    print(f"waited {waited:.2f} s for MLflow")
    assert waited < LONGEST_BLOCK
    assert weights_in(workspace) == weights
    return [line for line in errors.splitlines() if line.startswith("warning: MLflow")]


def complete_by_sync() -> list[str]:
    """The lines that `dcgan sync` prints; afterwards there is one run, and it holds all that was recorded."""
    lines = tracked.dcgan_sync()
    tracked.assert_holds(tracked.model())
    return lines


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_the_server_does_the_training_is_as_without_it_and_its_run_is_completed(
    weights, workspace, server, monkeypatch, fault
):
    before, middle, after = FAULTS[fault]
    with Proxy(server.port) as proxy:
        is_between = any(isinstance(act, dict) for act in before + middle)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url if is_between else server.url)
        do(before, server, proxy)
        with training(workspace) as process:
            if middle:
                tracked.wait_for(tracked.has_points)
            do(middle, server, proxy)
            warnings = end_training(process, workspace, weights)
        do(after, server, proxy)
        (sent,) = complete_by_sync()
        assert len(warnings) == bool(after) or fault.startswith("killed, and")
        if fault == "none":
            assert sent.startswith("sent 0 points, 0 grids and 1 artifacts"), "the report of the validation"
        assert complete_by_sync()[0].startswith(NOTHING)


def test_a_polite_stop_is_over_in_ten_seconds_though_the_server_hangs(weights, workspace, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    server.start()
    with training(workspace) as process:
        tracked.wait_for(tracked.has_points)
        server.send(signal.SIGSTOP)
        process.terminate()
        started = time.monotonic()
        (workspace / "go").touch()
        _, errors = process.communicate(timeout=60)
    print(f"stopped within {time.monotonic() - started:.2f} s")
    assert time.monotonic() - started < LONGEST_BLOCK
    assert process.returncode == 143
    assert "train: stopped and saved after step" in errors
    server.send(signal.SIGCONT)
    with training(workspace) as process:
        assert end_training(process, workspace, weights) == []
    complete_by_sync()


def test_an_outage_that_lasts_over_all_stages_is_made_up_for_by_one_sync(workspace, server, monkeypatch):
    write_params(workspace, train={"max_steps": 60, "epochs": 10, "report_every": 10})
    uri, shown = (server.url.replace("://", f"://{user}@") for user in ("me:secret", "***"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for stage, code in {"train": 0, "evaluate": 0, "export": 0, "register": 69}.items():
        environment = stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri}
        options = {"cwd": workspace, "env": environment, "capture_output": True, "text": True}
        done = subprocess.run(stage_command(stage), check=False, **options)
        assert done.returncode == code, done.stderr
        assert "secret" not in done.stdout + done.stderr
    server.start()
    for is_sent in (True, False):
        sent, registered = complete_by_sync()
        assert sent.startswith(NOTHING) != is_sent
        assert sent.endswith(f" at {shown}")
        assert registered.startswith("tiny-generator version 1 is challenger")
        assert "secret" not in registered
    model = load_generator("models:/tiny-generator@challenger")
    assert model.info.sha256 == sha256_of(workspace / files.ONNX_GENERATOR)
    assert not any(b"me:secret" in path.read_bytes() for path in workspace.parent.rglob("*") if path.is_file())
