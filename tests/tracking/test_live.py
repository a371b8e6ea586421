"""A tracking server that is away, hangs, fails or dies must neither stop nor slow a training, nor lose a point."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dcgan.config import workspace
from dcgan.config.params_file import load_params
from dcgan.system.errors import DivergedError, Interrupted
from dcgan.tracking import live
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.live import LiveSync
from dcgan.tracking.record import read_model
from dcgan.tracking.store import open_store
from dcgan.tracking.sync import sync_run
from tiny_workspace import write_dataset, write_params
from tracking_store import MLFLOW_WARNINGS, TRAINING, points, runs_in, start_training, use_new_store, write_training

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

LONGEST_BLOCK = 10.0


@pytest.fixture(autouse=True)
def database(tmp_path, monkeypatch) -> Path:
    """The file of an empty store; a training has just begun in the current folder."""
    pytest.importorskip("mlflow")  # its import is no waiting for a server
    file = use_new_store(tmp_path, monkeypatch)
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    start_training()
    return file


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


def train(
    *, until: Callable[[], object] = lambda: True, patience: float = live.PATIENCE, error: BaseException | None = None
) -> float:
    """Track a training as the stage does, which ends after the moment `until`; the seconds that it waited."""
    history = JsonlTracker(TRAINING, resume_from_step=0)
    waited = -time.monotonic()
    with LiveSync(TRAINING, experiment="tiny", patience=patience, interval=0.05), history:
        waited += time.monotonic()
        for step in (10, 20, 30):
            history.log_metrics({"generator/loss": step / 10}, step=step)
        wait_for(until)
        waited -= time.monotonic()
        if error is not None:
            raise error
    return waited + time.monotonic()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def assert_completed_later() -> None:
    """What a training leaves that ended without MLflow is whole after the next sync."""
    write_training()
    with open_store() as client:
        sync_run(client, read_model(load_params(workspace.PARAMS)), experiment="tiny")
    (run,) = runs_in()
    assert points(run, "generator/loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert run.info.status == "FINISHED"


def the_warning(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (Interrupted("stopped"), "KILLED"), (KeyboardInterrupt(), "KILLED"),
     (DivergedError("NaN"), "FAILED"), (OSError("disk full"), "FAILED"), (ZeroDivisionError(), "FAILED")],
)  # fmt: skip
def test_no_run_is_left_running_however_a_training_ends(capsys, error, status):
    with pytest.raises(type(error)) if error else nullcontext():
        train(error=error)
    (run,) = runs_in()
    assert run.info.status == status
    assert points(run, "generator/loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert capsys.readouterr().err == ""


def test_points_come_while_the_training_runs():
    train(until=lambda: [points(run, "generator/loss") for run in runs_in() if run.info.status == "RUNNING"][-1:])
    assert [run.info.status for run in runs_in()] == ["FINISHED"]


def test_a_server_that_is_down_costs_one_line_and_nothing_is_lost(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", url.replace("://", "://somebody:hunter%402@"))
        assert train() < LONGEST_BLOCK
    warning = the_warning(capsys)
    assert warning.startswith(f"warning: MLflow at {url.replace('://', '://***@')} failed (ConnectionRefusedError: ")
    assert not re.search("somebody|hunter", warning + (TRAINING / "run.json").read_text())
    assert_completed_later()


def test_a_server_that_hangs_is_given_up_within_ten_seconds_in_all(silent_port, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_port}")
        assert train() < LONGEST_BLOCK
    assert f"MLflow at http://127.0.0.1:{silent_port} failed (TimeoutError" in the_warning(capsys)
    assert_completed_later()


@pytest.mark.parametrize("status", [500, 429, 404, 200])
def test_a_server_that_fails_is_given_up_whatever_it_says(monkeypatch, capsys, status):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")

        do_POST = do_GET  # noqa: N815 the name is the standard library's

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        assert train() < LONGEST_BLOCK
        server.shutdown()
    assert the_warning(capsys).startswith(f"warning: MLflow at http://127.0.0.1:{server.server_port} failed")


def test_a_sync_that_does_not_end_is_waited_for_until_patience_ends_and_no_longer(monkeypatch, capsys):
    released = threading.Event()
    monkeypatch.setattr(live, "sync_run", lambda *_, **__: released.wait(60))
    assert 0.3 <= train(patience=0.3) < 2
    released.set()
    assert "too slow" in the_warning(capsys)


def test_a_sync_that_does_not_end_keeps_no_process_alive(tmp_path):
    script = """
import threading
from pathlib import Path
from dcgan.tracking import live
live.sync_run = lambda *_, **__: threading.Event().wait()
with live.LiveSync(Path(), experiment="tiny", patience=0.2):
    pass
print("ended")
"""
    (tmp_path / "run.json").write_bytes((TRAINING / "run.json").read_bytes())
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
    assert "too slow" in done.stderr


def test_importing_mlflow_and_creating_the_store_are_no_waiting_for_it(database, monkeypatch, capsys):
    genuine = live.prepare
    monkeypatch.setattr(live, "prepare", lambda uri: (time.sleep(1.5), genuine(uri)))
    assert train(patience=1.2) > 1.5
    assert capsys.readouterr().err == ""


def test_a_server_that_comes_back_gets_everything_while_the_training_runs(monkeypatch, capsys):
    attempts = []

    def fail_at_first(*arguments, **options):
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionResetError("the server died")
        return sync_run(*arguments, **options)

    monkeypatch.setattr(live, "sync_run", fail_at_first)
    train(until=lambda: len(attempts) > 1)
    assert "ConnectionResetError: the server died" in the_warning(capsys)
    (run,) = runs_in()
    assert len(points(run, "generator/loss")) == 3
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("kind", ["damaged", "folder", "read-only"])
def test_a_store_that_cannot_be_used_is_given_up_at_once(database, monkeypatch, capsys, kind):
    with monkeypatch.context() as patch:
        if kind == "read-only":
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{database}?mode=ro&uri=true")
        else:
            database.unlink()
            database.write_bytes(b"no database" * 1000) if kind == "damaged" else database.mkdir()
        assert train() < LONGEST_BLOCK
    assert re.search("DatabaseError: file is not|OperationalError|readonly database", the_warning(capsys))
    if kind == "read-only":
        assert_completed_later()


def test_without_mlflow_everything_goes_on_after_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert train() < LONGEST_BLOCK
    assert the_warning(capsys).startswith("warning: MLflow cannot be imported (")


def test_a_damaged_record_is_told_and_stops_no_training(capsys):
    (TRAINING / "run.json").unlink()
    train()
    assert "run.json: missing" in the_warning(capsys)


def test_a_killed_process_leaves_its_run_running_and_the_next_start_ends_it(tmp_path):
    script = f"""
import time
from pathlib import Path
from dcgan.tracking.live import LiveSync
with LiveSync(Path({str(TRAINING)!r}), experiment="tiny", interval=0.05):
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"DVC_ROOT": str(tmp_path)})
    wait_for(runs_in)
    process.kill()
    process.wait()
    (run,) = runs_in()
    assert run.info.status == "RUNNING"
    train()
    assert [(each.info.run_id, each.info.status) for each in runs_in()] == [(run.info.run_id, "FINISHED")]
