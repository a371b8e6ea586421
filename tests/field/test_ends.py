"""How work ends when the terminal, the reader of its output or the batch system leaves: saved, or done."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from dcgan.system.errors import Interrupted
from dcgan.system.signals import STOP_SIGNALS, stop_on_signals
from dvc_workspace import in_shell, type_in, write_pipeline
from stage_server import Ended, StageServer
from support import ROOT
from tiny_workspace import LONG, new_workspace

STAGE = """
import pathlib, sys, time
from dcgan.system.exit import run_stage

def main(*, waits: bool = False):
    print("a first line", flush=True)
    while waits and not pathlib.Path("go").exists():
        time.sleep(0.02)
    print("result")
    print("a warning", file=sys.stderr)
    pathlib.Path("runs.txt").open("a").write("ran")
    pathlib.Path("done").write_text("done")

run_stage(main)
"""


# Output that cannot be written


@pytest.fixture
def stage(tmp_path: Path) -> list[str]:
    (tmp_path / "stage.py").write_text(STAGE)
    return [sys.executable, "stage.py"]


def test_a_stage_under_dvc_whose_reader_leaves_is_done_and_need_not_run_again(tmp_path, stage):
    """DVC itself then fails, but its cache of runs has the stage."""
    write_pipeline(tmp_path, {"work": {"cmd": "python stage.py", "deps": ["stage.py"], "outs": ["done"]}})
    in_shell(tmp_path, "dvc repro | head -1")
    type_in(tmp_path, "dvc repro")
    assert (tmp_path / "runs.txt").read_text() == "ran"


def test_a_stage_whose_terminal_was_closed_is_done(tmp_path, stage):
    """Where it ignores SIGHUP it lives on, and every write fails with EIO."""
    ours, theirs = os.openpty()
    with subprocess.Popen([*stage, "--waits"], cwd=tmp_path, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.read(ours, 100)
        os.close(ours)
        (tmp_path / "go").touch()
        assert process.wait() == 0
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("redirection", ["> /dev/full", "> /dev/full 2>&1", "2> /dev/full"])
def test_a_stage_whose_log_is_on_a_full_disk_is_done(tmp_path, stage, redirection):
    ended = in_shell(tmp_path, f"python stage.py {redirection}")
    assert (ended.exit_code, (tmp_path / "done").exists()) == (0, True)
    assert "Traceback" not in ended.err


def test_a_stage_whose_log_is_a_full_pipe_that_does_not_block_waits_for_its_reader(tmp_path, stage):
    """As Node.js hands them to what it starts."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, b"x" * 4096)
    with subprocess.Popen(stage, cwd=tmp_path, stdout=theirs) as process:
        os.close(theirs)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)  # the time in which it ended, and lost its work
        while os.read(ours, 65536):
            pass
        assert process.wait() == 0
    os.close(ours)
    assert (tmp_path / "done").exists()


def test_a_command_that_cannot_print_what_was_asked_for_says_so(tmp_path):
    ended = in_shell(tmp_path, f"dcgan info --model {ROOT}/src/dcgan/inference/pretrained.onnx > /dev/full")
    assert ended.exit_code == 74
    assert ended.err == (
        "error: standard output: cannot be written (No space left on device); the work itself is done\n"
    )


# Signals


@pytest.fixture(params=sorted(set(STOP_SIGNALS) - {signal.SIGINT}), ids=lambda number: number.name)
def number(request) -> signal.Signals:
    return request.param


def test_each_signal_that_would_end_the_process_is_a_request_to_stop(number):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(Interrupted) as caught:
            stop.raise_if_made("stopped")
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_hangup_stays_ignored_where_nohup_did_so(monkeypatch):
    inherited = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, inherited)


def stop(stages: StageServer, folder: Path, number: int, *, once: Callable[[], object]) -> Ended:
    """Start a training, send it a signal once something is there, and wait for its end."""
    training = stages.start("train", folder)
    deadline = time.monotonic() + 60
    while not once():
        assert not training.has_ended(), training.wait()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    training.kill(number)
    return training.wait()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_training_saves_and_says_how_to_go_on(stages, tmp_path, number):
    workspace = new_workspace(tmp_path, train=LONG)
    done = stop(stages, workspace, number, once=lambda: list(workspace.glob(".checkpoints/*/step-*.safetensors")))
    assert done.returncode == 128 + number
    assert "error: train: stopped and saved after step" in done.stderr
    step = int(done.stderr.partition("after step ")[2].split()[0])
    assert list(workspace.glob(f".checkpoints/*/step-{step:08d}.safetensors"))


@pytest.mark.slow
def test_the_run_of_a_training_whose_terminal_was_closed_does_not_stay_running(tmp_path):
    workspace = new_workspace(tmp_path, train=LONG)

    def statuses() -> list[tuple[str]]:
        if not (workspace / "mlflow.db").is_file():
            return []
        with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
            return connection.execute("SELECT status FROM runs").fetchall()

    with StageServer(with_mlflow=True) as server:
        done = stop(server, workspace, signal.SIGHUP, once=statuses)
    assert done.returncode == 129, done
    assert statuses() == [("KILLED",)]
