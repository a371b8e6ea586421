"""A tracking server that is away, hangs, fails or dies must neither stop nor slow a training, nor lose a point."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest

import tracking_store as tracked
from dcgan.system.errors import DivergedError, Interrupted
from dcgan.tracking import live
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.live import LiveSync
from dcgan.tracking.record import read_training
from dcgan.tracking.sync import sync_run
from tracking_server import Proxy

LONGEST_BLOCK = 10.0


@pytest.fixture(autouse=True)
def _training(tracked_workspace) -> None:
    """One that has just begun in the current folder."""
    pytest.importorskip("mlflow")  # its import is no waiting for a server
    tracked.start_training()


def train(
    *, until: Callable[[], object] = lambda: True, patience: float = live.PATIENCE, error: BaseException | None = None
) -> float:
    """Track a training as the stage does, which ends after the moment `until`; the seconds that it waited."""
    history = JsonlTracker(tracked.TRAINING, resume_from_step=0)
    waited = -time.monotonic()
    with LiveSync(tracked.TRAINING, experiment="tiny", patience=patience, interval=0.05), history:
        waited += time.monotonic()
        for step in (10, 20, 30):
            history.log_metrics({"generator/loss": step / 10}, step=step)
        tracked.wait_for(until)
        waited -= time.monotonic()
        if error is not None:
            raise error
    return waited + time.monotonic()


def assert_completed_later() -> None:
    """What a training leaves that ended without MLflow is whole after the next sync."""
    tracked.write_training()
    tracked.sync(tracked.model())
    tracked.assert_holds(tracked.model())


def the_warning(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (Interrupted("stopped"), "KILLED"), (KeyboardInterrupt(), "KILLED"),
     (DivergedError("NaN"), "FAILED"), (OSError("disk full"), "FAILED")],
)  # fmt: skip
def test_no_run_is_left_running_however_a_training_ends(capsys, error, status):
    with pytest.raises(type(error)) if error else nullcontext():
        train(until=tracked.has_points, error=error)
    tracked.assert_holds(read_training(tracked.TRAINING, status=status))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("status", "delay"), [(None, 0), (200, 60), (500, 0), (429, 0), (404, 0), (200, 0)])
def test_a_server_that_fails_costs_one_line_in_ten_seconds_and_nothing_is_lost(monkeypatch, capsys, status, delay):
    with Proxy(9) as proxy, monkeypatch.context() as patch:
        proxy.behave(status=status, delay=delay)
        address = f"127.0.0.1:{proxy.server_port if status else proxy.behind}"
        patch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:hunter%402@{address}")
        assert train() < LONGEST_BLOCK
    warning = the_warning(capsys)
    assert warning.startswith(f"warning: MLflow at http://***@{address} failed (")
    assert not re.search("somebody|hunter", warning + (tracked.TRAINING / "run.json").read_text())
    assert_completed_later()


@pytest.mark.parametrize("kind", ["damaged", "folder", "read-only"])
def test_a_store_that_cannot_be_used_is_given_up_at_once(tmp_path, monkeypatch, capsys, kind):
    database = tmp_path / "mlflow.db"
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


@pytest.mark.parametrize(
    ("hanging", "error"),
    [("sync_run", None), ("sync_run", Interrupted("stopped")), ("prepare", Interrupted("stopped"))],
)
def test_what_does_not_end_is_waited_for_until_patience_ends_and_no_longer(monkeypatch, capsys, hanging, error):
    released = threading.Event()
    monkeypatch.setattr(live, hanging, lambda *_, **__: released.wait(60))
    started = time.monotonic()
    with pytest.raises(Interrupted) if error else nullcontext():
        train(patience=0.3, error=error)
    assert 0.3 <= time.monotonic() - started < 2
    released.set()
    assert "too slow" in the_warning(capsys)


def test_importing_mlflow_and_creating_the_store_are_no_waiting_for_it(monkeypatch, capsys):
    genuine = live.prepare
    monkeypatch.setattr(live, "prepare", lambda uri, **options: (time.sleep(1.5), genuine(uri, **options)))
    monkeypatch.setattr(live, "sync_run", lambda *_, **__: None)
    assert train(patience=1.2) > 1.4
    assert capsys.readouterr().err == ""


def test_a_server_that_comes_back_gets_everything_while_the_training_runs(monkeypatch, capsys):
    attempts = []

    def fail_at_first(*arguments, **options):
        attempts.append(1)
        if len(attempts) <= 2:
            raise ConnectionResetError("the server died")
        return sync_run(*arguments, **options)

    monkeypatch.setattr(live, "sync_run", fail_at_first)
    train(until=lambda: len(attempts) > 2)
    assert "ConnectionResetError: the server died" in the_warning(capsys)
    tracked.assert_holds(read_training(tracked.TRAINING, status="FINISHED"))


def test_without_mlflow_or_with_a_damaged_record_everything_goes_on_after_one_line(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        assert train() < LONGEST_BLOCK
    assert the_warning(capsys).startswith("warning: MLflow cannot be imported (")
    (tracked.TRAINING / "run.json").unlink()
    train()
    assert "run.json: missing" in the_warning(capsys)


SCRIPT = """
import sys, threading
from pathlib import Path
from dcgan.tracking import live
from dcgan.tracking.sync import sync_run

def hang(*arguments, **options):
    sync_run(*arguments, **options)
    threading.Event().wait()

live.sync_run = hang
with live.LiveSync(Path(sys.argv[1]), experiment="tiny", patience=0.2):
    sys.stdin.read()
print("ended")
"""


def test_a_sync_that_does_not_end_keeps_no_process_alive_and_the_next_start_ends_the_run(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tracked.TRAINING)]
    options = {"env": os.environ | {"DVC_ROOT": str(tmp_path)}, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    tracked.wait_for(tracked.runs)
    printed, warning = process.communicate(timeout=60)
    assert (process.returncode, printed) == (0, "ended\n")
    assert "too slow" in warning
    (before,) = tracked.runs()
    assert before.info.status == "RUNNING"
    train()
    assert tracked.assert_holds(read_training(tracked.TRAINING, status="FINISHED")).info.run_id == before.info.run_id
