"""A tracking server that is away, hangs, fails or dies must neither stop nor slow a training, nor lose a point."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dcgan.system.errors import UnavailableError
from dcgan.tracking.history import read_history
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.mlflow import load_run_reference, open_run, resume_run, store
from dcgan.tracking.mlflow.link import Link
from tracking_store import MLFLOW_WARNINGS, TRACKING, use_folder, use_new_store

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

REFERENCE, HISTORY = Path("checkpoints/run.json"), Path("reports/history.jsonl")
KEYS = ("discriminator/loss", "generator/loss")
STEPS = range(10, 110, 10)
LONGEST_BLOCK = 10.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, for a training whose server is yet to be named."""
    pytest.importorskip("mlflow")  # its import is no blocking by a server
    use_folder(tmp_path, monkeypatch)
    return tmp_path


class Answer(BaseHTTPRequestHandler):
    """Answers every request with one status; asks to wait for an hour."""

    status = 500

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Retry-After", "3600")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 the name is the standard library's

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answering_server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def open_ours():
    return open_run(
        reference=REFERENCE,
        tracking=TRACKING,
        params={"train.epochs": 1},
        tags={},
        name="trial",
        description="A trial.",
    )


def train() -> float:
    """Track a short training as the stage does; returns the seconds that MLflow took."""
    started = time.monotonic()
    with open_ours() as run, JsonlTracker(HISTORY.parent, resume_from_step=0) as history:
        for step in STEPS:
            for tracker in (history, run):
                tracker.log_metrics(dict.fromkeys(KEYS, step / 10), step=step)
            run.flush()
        for tracker in (history, run):
            tracker.log_samples(np.zeros((28, 28), np.uint8), step=step)
        run.log_artifacts(HISTORY, folder="training")
    return time.monotonic() - started


def resume_ours(**options: bool):
    return resume_run(load_run_reference(REFERENCE), tracking=TRACKING, history=HISTORY, params={}, **options)


def assert_whole(run) -> None:
    """Every point of the history is in the run, once."""
    client = store.connect(store.tracking_uri())
    rows = read_history(HISTORY)
    assert [row["step"] for row in rows] == list(STEPS)
    for key in KEYS:
        points = [(point.step, point.value) for point in client.get_metric_history(run.run_id, key)]
        assert sorted(points) == [(row["step"], row[key]) for row in rows]
    images = [artifact.path for artifact in client.list_artifacts(run.run_id, "images")]
    assert sum(image.endswith(".png") for image in images) == 1
    assert client.get_run(run.run_id).info.status == "FINISHED"


def the_warning(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_server_that_is_down_costs_one_line_and_a_later_stage_sends_everything(
    folder, closed_port, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    assert train() < LONGEST_BLOCK
    assert the_warning(capsys) == (
        f"warning: MLflow at http://127.0.0.1:{closed_port} failed (ConnectionRefusedError: [Errno 111] Connection"
        " refused): start it, or set MLFLOW_TRACKING_URI; going on without it; a later stage or `dcgan sync` sends what"
        " is missing"
    )
    use_new_store(folder, monkeypatch)
    for _ in range(2):
        run = resume_ours()
    assert_whole(run)


def test_a_server_that_hangs_is_given_up_within_ten_seconds_in_all(folder, silent_port, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_port}")
    assert train() < LONGEST_BLOCK
    assert "TimeoutError" in the_warning(capsys)


def test_a_server_that_is_merely_slow_is_given_up_when_patience_is_at_its_end(folder, monkeypatch, capsys):
    """Each call ends well; the third is not waited for to its end, and there is no fourth."""
    use_new_store(folder, monkeypatch)
    link, calls, ended = Link(patience=1.0), [], threading.Event()

    def dawdle(_: object) -> str:
        calls.append(time.monotonic())
        ended.wait(0.4)
        return "done"

    started = time.monotonic()
    answers = [link.attempt(dawdle) for _ in range(5)]
    assert 0.8 < time.monotonic() - started < 1.1
    ended.set()
    assert answers[0] == "done"
    assert answers[-1] is None
    assert len(calls) <= 3
    assert not link.is_on
    assert "(TimeoutError: too slow, all its answers together)" in the_warning(capsys)


def test_what_is_only_sent_is_not_waited_for_but_comes_before_what_is(folder, monkeypatch):
    use_new_store(folder, monkeypatch)
    link, answered, done = Link(), threading.Event(), []
    for index in range(3):
        link.send(lambda _, index=index: answered.wait(60) and done.append(index))
    assert done == []
    assert link.is_busy
    answered.set()
    assert link.attempt(lambda _: list(done)) == [0, 1, 2]
    assert not link.is_busy


@pytest.mark.parametrize("what_comes_next", [Link.send, Link.attempt])
def test_what_is_only_sent_and_fails_is_told_by_the_next_call_which_is_not_made(
    folder, monkeypatch, capsys, what_comes_next
):
    use_new_store(folder, monkeypatch)

    def fail(_: object) -> None:
        raise ConnectionResetError("the server died")

    link, calls = Link(), []
    link.send(fail)
    while link.is_busy:
        time.sleep(0.01)
    assert link.is_on, "nobody has looked yet"
    what_comes_next(link, calls.append)
    assert not link.is_on
    assert "ConnectionResetError: the server died" in the_warning(capsys)
    assert calls == []


def test_what_waits_behind_a_call_that_hangs_is_dropped_when_patience_ends(folder, monkeypatch, capsys):
    use_new_store(folder, monkeypatch)
    link, goes_on, calls = Link(patience=0.3), threading.Event(), []
    link.send(lambda _: goes_on.wait(60))
    link.send(calls.append)
    assert link.attempt(calls.append) is None
    assert "TimeoutError" in the_warning(capsys)
    goes_on.set()
    while link.is_busy:
        time.sleep(0.01)
    assert calls == []


def test_a_server_that_is_slow_to_take_points_does_not_slow_the_training(folder, monkeypatch):
    use_new_store(folder, monkeypatch)
    monkeypatch.setattr("dcgan.tracking.mlflow.run.SEND_EVERY", 0.0)
    import mlflow

    genuine, delays = mlflow.MlflowClient.log_batch, []

    def dawdle(self, *arguments, **options):
        delays.append(0.5)
        time.sleep(0.5)
        return genuine(self, *arguments, **options)

    with open_ours() as run, JsonlTracker(HISTORY.parent, resume_from_step=0) as history:
        monkeypatch.setattr(mlflow.MlflowClient, "log_batch", dawdle)
        started = time.monotonic()
        for step in STEPS:
            for tracker in (history, run):
                tracker.log_metrics(dict.fromkeys(KEYS, step / 10), step=step)
        for tracker in (history, run):
            tracker.log_samples(np.zeros((28, 28), np.uint8), step=step)
        assert time.monotonic() - started < 0.4
    assert len(delays) == 2, "the first point, and then the rest together"
    assert_whole(run)


def test_a_call_that_never_ends_keeps_no_process_alive(closed_port):
    script = """
import threading
from dcgan.tracking.mlflow.link import Link
print(Link(patience=0.2).attempt(lambda _: threading.Event().wait()))
"""
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{closed_port}"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert "too slow" in done.stderr


def test_who_needs_the_server_waits_for_it(folder, monkeypatch):
    use_new_store(folder, monkeypatch)
    link = Link(required=True, patience=0.0)
    assert link.attempt(lambda _: time.sleep(0.1) or "done") == "done"


@pytest.mark.parametrize("status", [500, 503, 429, 404, 200])
def test_a_server_that_fails_is_given_up_whatever_it_says(folder, answering_server, monkeypatch, capsys, status):
    monkeypatch.setattr(Answer, "status", status)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{answering_server.server_port}")
    assert train() < LONGEST_BLOCK
    assert the_warning(capsys).startswith(f"warning: MLflow at http://127.0.0.1:{answering_server.server_port} failed")


@pytest.mark.parametrize("call", ["log_batch", "log_image", "log_artifact", "set_terminated"])
@pytest.mark.parametrize("good_calls", [0, 3])
def test_a_server_that_dies_in_the_middle_loses_nothing_for_good(folder, monkeypatch, capsys, call, good_calls):
    use_new_store(folder, monkeypatch)
    import mlflow

    genuine, calls = getattr(mlflow.MlflowClient, call), []

    def die(self, *arguments, **options):
        calls.append(arguments)
        if len(calls) > good_calls:
            raise ConnectionResetError("the server died")
        return genuine(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, call, die)
        train()
    errors = capsys.readouterr().err.splitlines()
    dies = len(calls) > good_calls
    assert len(calls) <= good_calls + 1, "no call after the first that failed"
    assert [("ConnectionResetError: the server died" in line) for line in errors] == [True] * dies
    for _ in range(2):
        run = resume_ours()
    assert_whole(run)


def test_a_store_that_turns_read_only_is_given_up_and_completed_later(folder, monkeypatch, capsys):
    database = use_new_store(folder, monkeypatch)
    run = open_ours()
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{database}?mode=ro&uri=true")
        assert train() < LONGEST_BLOCK
    assert "attempt to write a readonly database" in the_warning(capsys)
    assert resume_ours().run_id == run.run_id
    assert_whole(run)


def test_a_damaged_store_is_given_up_at_once(folder, monkeypatch, capsys):
    Path("mlflow.db").write_bytes(b"no database" * 1000)
    assert train() < LONGEST_BLOCK
    assert "DatabaseError: file is not a database" in the_warning(capsys)
    assert Path("mlflow.db").read_bytes() == b"no database" * 1000


def test_a_store_that_cannot_be_opened_is_given_up_at_once(folder, monkeypatch, capsys):
    Path("mlflow.db").mkdir()
    assert train() < LONGEST_BLOCK
    assert "OperationalError" in the_warning(capsys)


def test_a_password_in_the_address_is_never_shown(folder, closed_port, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:hunter%402@127.0.0.1:{closed_port}")
    train()
    with pytest.raises(UnavailableError) as raised:
        resume_ours(required=True)
    shown = "".join(capfd.readouterr()) + str(raised.value) + REFERENCE.read_text()
    assert f"http://***@127.0.0.1:{closed_port}" in shown
    assert not re.search("somebody|hunter", shown)


def test_a_password_in_mlflows_own_words_is_not_shown_either(folder, monkeypatch, capsys):
    use_new_store(folder, monkeypatch)

    def fail(_: object) -> None:
        raise RuntimeError("no answer\nfrom http://somebody:hunter2@host/api")

    Link().attempt(fail)
    assert "(RuntimeError: no answer from http://***@host/api)" in the_warning(capsys)


def test_a_stage_that_needs_the_server_stops_with_one_line(folder, closed_port, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(UnavailableError, match=r"MLflow at http://127.0.0.1:\d+ failed .*, and run again") as raised:
        Link(required=True).attempt(lambda client: client.get_run("f" * 32))
    assert raised.value.exit_code == 69
    assert capsys.readouterr().err == ""


def test_what_the_user_set_is_kept(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    store.connect(f"sqlite:///{folder}/mlflow.db")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
