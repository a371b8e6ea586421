"""A real MLflow server that is away, dies, hangs, fails or is slow while the stage `train` runs as a process.

Whatever it does, the training ends well with the bytes of an untracked one, having waited ten seconds at most in all,
and `dcgan sync` makes the run complete afterwards.
"""

import io
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.commands.sync import sync_workspace
from dcgan.config import workspace as files
from dcgan.config.params_file import load_params
from dcgan.tracking.record import read_model
from tiny_workspace import new_workspace, run_stage, stage_command, stage_environment, weights_in
from tracking_server import Proxy, TrackingServer, proxy_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    *(pytest.mark.filterwarnings(warning) for warning in tracked.MLFLOW_WARNINGS),
]

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
        try:
            return function(*arguments)
        finally:
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

START, KILL, STOP, GO_ON, FAIL, DAWDLE, DAWDLE_CREATING, HEAL = range(8)
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
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return new_workspace(tmp_path / "workspace", train=TRAINING)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrackingServer]:
    """A server that is not started yet."""
    server = TrackingServer(tmp_path / "server")
    yield server
    server.end()


def do(acts: list[int], server: TrackingServer, proxy: Proxy) -> None:
    for act in acts:
        if act == START:
            server.start()
        elif act in {KILL, STOP, GO_ON}:
            server.send({KILL: signal.SIGKILL, STOP: signal.SIGSTOP, GO_ON: signal.SIGCONT}[act])
        else:
            time.sleep(proxy.delay)  # what is on its way arrives
            proxy.status = 500 if act == FAIL else None
            proxy.delay = {DAWDLE: 3.5, DAWDLE_CREATING: 6.0}.get(act, 0.0)
            proxy.slow = "runs/create" if act == DAWDLE_CREATING else ""


def start_training(workspace: Path, uri: str) -> subprocess.Popen[str]:
    """Start it, and return in its middle."""
    python, option, script = stage_command("train")
    environment = stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri}
    process = subprocess.Popen(
        [python, option, PLANTED + script], cwd=workspace, env=environment, stderr=subprocess.PIPE, text=True
    )
    middle = workspace / files.SAMPLES / f"step-{MIDDLE:07d}.png"
    tracked.wait_for(lambda: middle.exists() or process.poll() is not None)
    assert process.poll() is None, process.stderr.read()
    return process


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


def wait_until_tracked(uri: str) -> None:
    """Until the first points have come."""
    tracked.wait_for(lambda: [run for run in tracked.runs_in(uri) if tracked.points(run, "generator/loss", uri)])


def dcgan_sync(workspace: Path, uri: str) -> list[str]:
    """The lines that `dcgan sync` prints; afterwards there is one run, and it holds all that was recorded."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        tracked.use_folder(workspace, patch)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        sync_workspace()
        tracked.assert_holds(read_model(load_params(files.PARAMS)), uri)
    assert "secret" not in printed.getvalue()
    return printed.getvalue().splitlines()


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_the_server_does_the_training_is_as_without_it_and_its_run_is_completed(
    weights, workspace, server, fault
):
    before, middle, after = FAULTS[fault]
    with proxy_for(server.port) as proxy:
        uri = proxy.url if {FAIL, DAWDLE, DAWDLE_CREATING} & {*before, *middle} else server.url
        do(before, server, proxy)
        process = start_training(workspace, uri)
        if middle:
            wait_until_tracked(uri)
        do(middle, server, proxy)
        warnings = end_training(process, workspace, weights)
        do(after, server, proxy)
        (sent,) = dcgan_sync(workspace, uri)
        assert len(warnings) == bool(after) or fault.startswith("killed, and")
        if fault == "none":
            assert sent.startswith("sent 0 points, 0 grids and 1 artifacts"), "the report of the validation"
        assert dcgan_sync(workspace, uri)[0].startswith(NOTHING)


def test_a_polite_stop_is_over_in_ten_seconds_though_the_server_hangs(weights, workspace, server):
    server.start()
    process = start_training(workspace, server.url)
    wait_until_tracked(server.url)
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
    assert end_training(start_training(workspace, server.url), workspace, weights) == []
    dcgan_sync(workspace, server.url)


def test_a_store_that_is_read_only_is_given_up_and_told_later(weights, workspace, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        database = tracked.use_new_store(tmp_path, patch)
    process = start_training(workspace, f"sqlite:///file:{database}?mode=ro&uri=true")
    (warning,) = end_training(process, workspace, weights)
    assert "readonly database" in warning
    dcgan_sync(workspace, f"sqlite:///{database}")


def test_an_outage_that_lasts_over_all_stages_is_made_up_for_by_one_sync(tmp_path, server):
    workspace = new_workspace(tmp_path, train={"max_steps": 60, "epochs": 10, "report_every": 10})
    uri, shown = (server.url.replace("://", f"://{user}@") for user in ("me:secret", "***"))
    for stage, code in {"train": 0, "evaluate": 0, "export": 0, "register": 69}.items():
        environment = stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri}
        options = {"cwd": workspace, "env": environment, "capture_output": True, "text": True}
        done = subprocess.run(stage_command(stage), check=False, **options)
        assert done.returncode == code, done.stderr
        assert "secret" not in done.stdout + done.stderr
    server.start()
    for is_sent in (True, False):
        sent, registered = dcgan_sync(workspace, uri)
        assert sent.startswith(NOTHING) != is_sent
        assert sent.endswith(f" at {shown}")
        assert registered.startswith("tiny-generator version 1 is challenger")
