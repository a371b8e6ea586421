"""A real MLflow server that is away, dies, hangs, fails or dawdles while the stage `train` runs as a process.

Whatever it does, the training ends well with the bytes of an untracked one, having waited ten seconds at most in all,
and `dcgan sync` makes the run complete afterwards.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcgan.config.params_file import load_params
from dcgan.tracking.history import read_history
from tiny_workspace import new_workspace, run_stage, stage_command, stage_environment, weights_in
from tracking_server import Proxy, TrackingServer, proxy_for
from tracking_store import MLFLOW_WARNINGS, use_new_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    *(pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS),
]

LONGEST_BLOCK = 10.0
STEPS = 1200
TRAINING = {"epochs": 500, "max_steps": STEPS, "report_every": 10, "checkpoint_every": 600}
OFTEN = TRAINING | {"sample_every": 150, "evaluate_every": 150}
MIDDLE = "reports/samples/step-0000300.png"
TIMED = """
import atexit, json, pathlib, time
from dcgan.tracking.mlflow import link

seconds = {"prepare": 0.0, "wait": 0.0}

def timed(function, kind):
    def wrapper(*arguments, **options):
        started = time.monotonic()
        try:
            return function(*arguments, **options)
        finally:
            seconds[kind] += time.monotonic() - started
    return wrapper

link.prepare = timed(link.prepare, "prepare")
link.Link.__init__ = timed(link.Link.__init__, "wait")
link.Link.attempt = timed(link.Link.attempt, "wait")
link.Link.send = timed(link.Link.send, "wait")
atexit.register(lambda: pathlib.Path("waited.json").write_text(json.dumps(seconds)))
"""
"""Goes before the stage's script: tells what it waits for tracking, less MLflow's import and the store's creation."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, bytes]:
    """What the training comes to without MLflow."""
    workspace = new_workspace(tmp_path_factory.mktemp("untracked"), train=OFTEN)
    done = run_stage("train", workspace, absent=["mlflow"])
    assert done.returncode == 0, done.stderr
    return weights_in(workspace)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return new_workspace(tmp_path / "workspace", train=OFTEN)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrackingServer]:
    """A server that is not started yet."""
    server = TrackingServer(tmp_path / "server")
    yield server
    server.end()


@pytest.fixture
def proxy(server: TrackingServer) -> Iterator[Proxy]:
    with proxy_for(server.port) as proxy:
        yield proxy


def start_training(workspace: Path, uri: str) -> subprocess.Popen[str]:
    python, option, script = stage_command("train")
    return subprocess.Popen(
        [python, option, TIMED + script],
        cwd=workspace,
        env=stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def wait_for_the_middle(workspace: Path, process: subprocess.Popen[str]) -> None:
    while not (workspace / MIDDLE).exists() and process.poll() is None:
        time.sleep(0.02)


def train(
    workspace: Path, weights: dict[str, bytes], uri: str, *, in_the_middle: Callable[[], object] = lambda: None
) -> list[str]:
    """Train to the end, which comes in time and with these weights; returns the warnings."""
    process = start_training(workspace, uri)
    try:
        wait_for_the_middle(workspace, process)
        assert process.poll() is None, "it ended before its middle"
        in_the_middle()
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    seconds = json.loads((workspace / "waited.json").read_text())
    waited = seconds["wait"] - seconds["prepare"]
    print(f"waited {waited:.2f} s for MLflow at {uri}")
    assert waited < LONGEST_BLOCK
    assert weights_in(workspace) == weights
    return [line for line in errors.splitlines() if line.startswith("warning: MLflow")]


def dcgan_sync(workspace: Path, uri: str) -> str:
    """What `dcgan sync` says."""
    done = subprocess.run(
        [sys.executable, "-m", "dcgan.cli", "sync"],
        cwd=workspace,
        env=stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, line = done.stdout.splitlines()  # below the address that MLflow prints of a run that it ends
    return line


def runs_in(experiment: str, uri: str) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def assert_whole(workspace: Path, uri: str) -> None:
    """There is one run, and it holds everything that the training recorded, each point and each grid once."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (run,) = runs_in("tiny", uri)
    assert run.info.status == "FINISHED"
    flattened = load_params(workspace / "params.yaml").flattened()
    assert run.data.params == {key: str(value) for key, value in flattened.items()}
    tags = json.loads((workspace / "models/run.json").read_text())["tags"]
    assert {"source_revision", "precision", "md5.data/dataset.safetensors", "mlflow.note.content"} <= tags.keys()
    assert tags.items() <= run.data.tags.items()
    (data,) = run.inputs.dataset_inputs
    validation = json.loads((workspace / "reports/validation.json").read_text())
    assert json.loads(data.dataset.profile) == {"sha256": validation["dataset_sha256"], "images": 200}

    rows = read_history(workspace / "reports/history.jsonl")
    keys = {key for row in rows for key in row} - {"step"}
    assert {"generator/loss", "train/quick_fcd", "train/images_per_second"} <= keys
    assert max(row["step"] for row in rows) == STEPS
    for key in keys:
        points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
        assert sorted(points) == sorted((row["step"], row[key]) for row in rows if key in row), key

    images = [artifact.path for artifact in client.list_artifacts(run.info.run_id, "images")]
    steps = sorted(int(re.search(r"step\+(\d+)", image)[1]) for image in images if image.endswith(".png"))
    grids = (workspace / "reports/samples").glob("*.png")
    assert steps == sorted(int(path.stem.removeprefix("step-")) for path in grids)
    stored = [artifact.path for artifact in client.list_artifacts(run.info.run_id, "training")]
    assert sorted(stored) == ["training/training.png", "training/validation.json"]


def assert_completed_by_sync(workspace: Path, uri: str) -> None:
    """`dcgan sync` sends something, then nothing; the run is whole after both."""
    nothing = "sent 0 points, 0 grids and 0 artifacts to run "
    assert not dcgan_sync(workspace, uri).startswith(nothing)
    assert_whole(workspace, uri)
    assert dcgan_sync(workspace, uri).startswith(nothing)
    assert_whole(workspace, uri)


def test_a_server_in_health_gets_everything_at_once_and_there_is_nothing_to_send_later(weights, workspace, server):
    server.start()
    warnings = train(workspace, weights, server.url)
    assert warnings == []
    assert_whole(workspace, server.url)
    assert dcgan_sync(workspace, server.url).startswith("sent 0 points, 0 grids and 0 artifacts to run ")


def test_a_server_that_is_down_from_the_start_is_told_everything_when_it_is_up(weights, workspace, server):
    warnings = train(workspace, weights, server.url)
    assert len(warnings) == 1
    server.start()
    assert_completed_by_sync(workspace, server.url)


def test_a_server_that_is_killed_in_the_middle_and_restarted_misses_nothing(weights, workspace, server):
    server.start()
    warnings = train(workspace, weights, server.url, in_the_middle=lambda: server.send(signal.SIGKILL))
    assert len(warnings) == 1
    server.start()
    assert_completed_by_sync(workspace, server.url)


def test_a_server_that_comes_back_while_training_goes_on_is_left_alone_until_later(weights, workspace, server):
    server.start()

    def restart() -> None:
        server.send(signal.SIGKILL)
        time.sleep(2)
        server.start()

    train(workspace, weights, server.url, in_the_middle=restart)
    dcgan_sync(workspace, server.url)
    assert_whole(workspace, server.url)


def test_a_server_that_hangs_in_the_middle_is_given_up_and_told_later(weights, workspace, server):
    server.start()
    warnings = train(workspace, weights, server.url, in_the_middle=lambda: server.send(signal.SIGSTOP))
    assert len(warnings) == 1
    server.send(signal.SIGCONT)
    assert_completed_by_sync(workspace, server.url)


def test_a_polite_stop_is_over_in_ten_seconds_though_the_server_hangs(weights, workspace, server):
    server.start()
    process = start_training(workspace, server.url)
    wait_for_the_middle(workspace, process)
    server.send(signal.SIGSTOP)
    process.terminate()
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    print(f"stopped within {time.monotonic() - started:.2f} s")
    assert time.monotonic() - started < LONGEST_BLOCK
    assert process.returncode == 143
    assert "train: stopped and saved after step" in errors
    server.send(signal.SIGCONT)
    assert train(workspace, weights, server.url) == []
    assert_completed_by_sync(workspace, server.url)


def test_a_server_that_hangs_from_the_start_is_told_everything_when_it_goes_on(weights, workspace, server):
    server.start()
    server.send(signal.SIGSTOP)
    warnings = train(workspace, weights, server.url)
    assert len(warnings) == 1
    server.send(signal.SIGCONT)
    assert_completed_by_sync(workspace, server.url)


def test_a_run_that_is_created_twice_for_want_of_an_answer_is_one_in_the_end(weights, workspace, server, proxy):
    """MLflow's client repeats a request that was not answered in time; the server carries out both."""
    server.start()
    proxy.slow, proxy.delay = "runs/create", 6.0
    warnings = train(workspace, weights, proxy.url)
    assert len(warnings) == 1
    assert len(runs_in("tiny", server.url)) == 2
    assert_completed_by_sync(workspace, server.url)


def test_a_server_that_fails_in_the_middle_is_told_later(weights, workspace, server, proxy):
    server.start()
    warnings = train(workspace, weights, proxy.url, in_the_middle=lambda: setattr(proxy, "status", 500))
    assert len(warnings) == 1
    proxy.status = None
    assert_completed_by_sync(workspace, proxy.url)


@pytest.mark.parametrize("slow_from", ["the start", "the middle"])
def test_a_server_that_answers_each_request_just_in_time_is_given_up(weights, workspace, server, proxy, slow_from):
    server.start()

    def dawdle() -> None:
        proxy.delay = 3.5

    if slow_from == "the start":
        dawdle()
    warnings = train(workspace, weights, proxy.url, in_the_middle=dawdle)
    assert len(warnings) == 1
    assert "too slow" in warnings[0]
    assert proxy.requests > 2
    proxy.delay = 0.0
    time.sleep(4)  # what is on its way arrives
    assert_completed_by_sync(workspace, proxy.url)


def test_a_store_that_is_read_only_is_given_up_and_told_later(weights, workspace, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        database = use_new_store(tmp_path, patch)
    warnings = train(workspace, weights, f"sqlite:///file:{database}?mode=ro&uri=true")
    assert len(warnings) == 1
    assert "readonly database" in warnings[0]
    assert_completed_by_sync(workspace, f"sqlite:///{database}")


def test_an_outage_that_lasts_over_all_stages_is_made_up_for_by_one_sync(tmp_path, server):
    workspace = new_workspace(tmp_path, train={"max_steps": 60, "epochs": 10, "report_every": 10})
    uri, shown = (server.url.replace("://", f"://{user}@") for user in ("me:secret", "***"))
    for stage in ("train", "evaluate", "export"):
        done = subprocess.run(
            stage_command(stage),
            cwd=workspace,
            env=stage_environment(workspace) | {"MLFLOW_TRACKING_URI": uri},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "secret" not in done.stdout + done.stderr
    server.start()
    for sent in ("artifacts", "sent 0 points, 0 grids and 0 artifacts"):
        line = dcgan_sync(workspace, uri)
        assert sent in line
        assert line.endswith(f" at {shown}")

    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    (run,) = runs_in("tiny", server.url)
    evaluation = json.loads((workspace / "reports/evaluation.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.metrics["evaluation/fcd"] == evaluation["fcd"]
    assert run.data.metrics["export/max_difference"] < 1e-4
    for key in run.data.metrics:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
        assert len(steps) == len(set(steps)), key
    for folder, files in {"training": 2, "evaluation": 10, "export": 1}.items():
        assert len(client.list_artifacts(run.info.run_id, folder)) == files
