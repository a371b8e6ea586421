"""A real MLflow server that is away, dies, hangs, fails or is slow while the stage `train` runs as a process.

Whatever it does, the training ends well with the bytes of an untracked one, having waited ten seconds at most in all,
and `dcgan sync` makes the run complete afterwards.
"""

import io
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from dcgan.commands.sync import sync_workspace
from dcgan.config import workspace as files
from dcgan.config.params_file import load_params
from dcgan.config.schema import flatten
from dcgan.tracking.history import read_history
from tiny_workspace import new_workspace, run_stage, stage_command, stage_environment, weights_in
from tracking_server import Proxy, TrackingServer, proxy_for
from tracking_store import MLFLOW_WARNINGS, artifacts, grid_steps, points, runs_in, use_folder, use_new_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    *(pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS),
]

LONGEST_BLOCK = 10.0
STEPS, MIDDLE, EVERY = 120, 60, 30
TRAINING = {"epochs": 500, "max_steps": STEPS, "report_every": 10, "checkpoint_every": 60, "sample_every": EVERY}
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


@pytest.fixture
def proxy(server: TrackingServer) -> Iterator[Proxy]:
    """Before a server that is at work."""
    server.start()
    with proxy_for(server.port) as proxy:
        yield proxy


def start_training(workspace: Path, uri: str) -> subprocess.Popen[str]:
    """Start it, and return in its middle."""
    python, option, script = stage_command("train")
    environment = stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri}
    process = subprocess.Popen(
        [python, option, PLANTED + script], cwd=workspace, env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (workspace / files.SAMPLES / f"step-{MIDDLE:07d}.png").exists() or process.poll() is not None)
    assert process.poll() is None, process.stderr.read()
    return process


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_tracked(uri: str) -> bool:
    """Whether the first points have come."""
    return any(points(run, "generator/loss", uri) for run in runs_in("tiny", uri))


def train(
    workspace: Path, weights: dict[str, bytes], uri: str, *, in_the_middle: Callable[[], object] = lambda: None
) -> list[str]:
    """Train to the end, which comes in time and with these weights; returns the warnings."""
    process = start_training(workspace, uri)
    try:
        in_the_middle()
        (workspace / "go").touch()
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    waited = float((workspace / "waited.txt").read_text())
    print(f"waited {waited:.2f} s for MLflow at {uri}")
    assert waited < LONGEST_BLOCK
    assert weights_in(workspace) == weights
    return [line for line in errors.splitlines() if line.startswith("warning: MLflow")]


def dcgan_sync(workspace: Path, uri: str) -> list[str]:
    """The lines that `dcgan sync` prints."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        use_folder(workspace, patch)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        sync_workspace()
    assert "secret" not in printed.getvalue()
    return printed.getvalue().splitlines()


def assert_whole(workspace: Path, uri: str, *, sent: Callable[[str], bool] = lambda _: True) -> None:
    """After `dcgan sync`, which has `sent` something, one run holds all that was recorded, each point and grid once."""
    (line,) = dcgan_sync(workspace, uri)
    assert sent(line), line
    (again,) = dcgan_sync(workspace, uri)
    assert again.startswith(NOTHING)
    (run,) = runs_in("tiny", uri)
    assert run.info.status == "FINISHED"
    params = flatten(load_params(workspace / files.PARAMS))
    assert run.data.params == {key: str(value) for key, value in params.items()}
    recorded = json.loads((workspace / "reports/run.json").read_text())
    assert recorded["tags"].items() <= run.data.tags.items()
    assert len(run.inputs.dataset_inputs) == 1
    rows = read_history(workspace / files.HISTORY) + read_history(workspace / files.TIMINGS)
    keys = {key for row in rows for key in row} - {"step", "time_ms"}
    assert {"generator/loss", "train/quick_fcd", "train/images_per_second"} <= keys
    assert max(row["step"] for row in rows) == STEPS
    for key in keys:
        assert points(run, key, uri) == sorted((row["step"], row[key]) for row in rows if key in row), key
    assert grid_steps(run, uri) == list(range(0, STEPS + 1, EVERY))
    assert artifacts(run, "training", uri) == ["validation.json"]


def is_something(line: str) -> bool:
    return not line.startswith(NOTHING)


def test_a_healthy_server_gets_everything_during_the_training(weights, workspace, server):
    server.start()
    assert train(workspace, weights, server.url) == []
    (run,) = runs_in("tiny", server.url)
    assert run.info.status == "FINISHED"
    assert_whole(workspace, server.url, sent=lambda line: line.startswith("sent 0 points, 0 grids and 1 artifacts"))


def test_a_server_that_is_down_from_the_start_is_told_everything_when_it_is_up(weights, workspace, server):
    assert len(train(workspace, weights, server.url)) == 1
    server.start()
    assert_whole(workspace, server.url, sent=is_something)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_dies_or_hangs_in_the_middle_is_given_up_and_told_later(weights, workspace, server, number):
    server.start()

    def fail() -> None:
        wait_for(lambda: is_tracked(server.url))
        server.send(number)

    assert len(train(workspace, weights, server.url, in_the_middle=fail)) == 1
    server.send(signal.SIGCONT) if number == signal.SIGSTOP else server.start()
    assert_whole(workspace, server.url, sent=is_something)


def test_a_server_that_hangs_from_the_start_is_told_everything_when_it_goes_on(weights, workspace, server):
    server.start()
    server.send(signal.SIGSTOP)
    assert len(train(workspace, weights, server.url)) == 1
    server.send(signal.SIGCONT)
    assert_whole(workspace, server.url, sent=is_something)


def test_a_server_that_comes_back_while_training_goes_on_misses_nothing(weights, workspace, server):
    server.start()

    def restart() -> None:
        wait_for(lambda: is_tracked(server.url))
        server.send(signal.SIGKILL)
        server.start()

    train(workspace, weights, server.url, in_the_middle=restart)
    assert_whole(workspace, server.url)


def test_a_polite_stop_is_over_in_ten_seconds_though_the_server_hangs(weights, workspace, server):
    server.start()
    process = start_training(workspace, server.url)
    wait_for(lambda: is_tracked(server.url))
    server.send(signal.SIGSTOP)
    process.terminate()
    (workspace / "go").touch()
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    print(f"stopped within {time.monotonic() - started:.2f} s")
    assert time.monotonic() - started < LONGEST_BLOCK
    assert process.returncode == 143
    assert "train: stopped and saved after step" in errors
    server.send(signal.SIGCONT)
    assert train(workspace, weights, server.url) == []
    assert_whole(workspace, server.url)


@pytest.mark.parametrize("slowness", [("runs/create", 6.0, 0), ("", 3.5, 0), ("", 3.5, MIDDLE)])
def test_a_slow_server_is_given_up_and_has_one_run_in_the_end(weights, workspace, proxy, slowness):
    """A run that is created, but too late for the answer to be waited for, is found again."""
    slow, delay, begin = slowness

    def be_slow() -> None:
        proxy.slow, proxy.delay = slow, delay

    if begin == 0:
        be_slow()
    assert len(train(workspace, weights, proxy.url, in_the_middle=be_slow)) == 1
    proxy.delay = 0.0
    time.sleep(delay)  # what is on its way arrives
    assert_whole(workspace, proxy.url, sent=is_something)


def test_a_server_that_fails_in_the_middle_is_told_later(weights, workspace, proxy):
    def fail() -> None:
        wait_for(lambda: is_tracked(proxy.url))
        proxy.status = 500

    assert len(train(workspace, weights, proxy.url, in_the_middle=fail)) == 1
    proxy.status = None
    assert_whole(workspace, proxy.url, sent=is_something)


def test_a_store_that_is_read_only_is_given_up_and_told_later(weights, workspace, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        database = use_new_store(tmp_path, patch)
    warnings = train(workspace, weights, f"sqlite:///file:{database}?mode=ro&uri=true")
    assert len(warnings) == 1
    assert "readonly database" in warnings[0]
    assert_whole(workspace, f"sqlite:///{database}", sent=is_something)


def test_an_outage_that_lasts_over_all_stages_is_made_up_for_by_one_sync(tmp_path, server):
    workspace = new_workspace(tmp_path, train={"max_steps": 60, "epochs": 10, "report_every": 10})
    uri, shown = (server.url.replace("://", f"://{user}@") for user in ("me:secret", "***"))
    for stage, code in {"train": 0, "evaluate": 0, "export": 0, "register": 69}.items():
        done = subprocess.run(
            stage_command(stage),
            cwd=workspace,
            env=stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "secret" not in done.stdout + done.stderr
    server.start()
    for expected in ("artifacts", NOTHING):
        sent, registered = dcgan_sync(workspace, uri)
        assert expected in sent
        assert sent.endswith(f" at {shown}")
        assert registered.startswith("tiny-generator version 1 is challenger")
    (run,) = runs_in("tiny", server.url)
    evaluation = json.loads((workspace / files.EVALUATION).read_text())
    assert run.info.status == "FINISHED"
    assert run.data.metrics["evaluation/fcd"] == evaluation["fcd"]
    for key in run.data.metrics:
        steps = [step for step, _ in points(run, key, server.url)]
        assert len(steps) == len(set(steps)), key
