"""Stores that are not as they should be: each failure names its own repair, and addresses follow the workspace."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

import tracking_store as tracked
from dcgan.commands.model_source import load_generator
from dcgan.config import workspace
from dcgan.system.errors import DcganError, StorageError, UnavailableError, UsageError
from dcgan.system.files import sha256_of
from dcgan.tracking import database, store
from dcgan.tracking.failures import failure_of
from dcgan.tracking.live import LiveSync
from dcgan.tracking.store import find_or_create_experiment, open_store
from tiny_workspace import write_params

AWKWARD = "a b%2Fc#d?e'f\"g&ü日$(h)"


def failure() -> DcganError:
    """How opening the store at MLFLOW_TRACKING_URI fails."""
    with pytest.raises(DcganError) as failed, open_store() as client:
        client.get_experiment_by_name("tiny")
    assert "\n" not in str(failed.value)
    return failed.value


@pytest.mark.parametrize(
    ("uri", "error", "repair"),
    [
        ("postgresql://me:secret@127.0.0.1:9/db", UnavailableError, "the Python module psycopg .the extra `team`"),
        ("mysql+pymysql://me:secret@127.0.0.1:9/db", UnavailableError, "the Python module pymysql, or set MLFLOW_"),
        ("./mlruns", UsageError, r"set MLFLOW_TRACKING_URI to a server .* or a database"),
        ("file:///tmp/mlruns", UsageError, r"set MLFLOW_TRACKING_URI to a server .* or a database"),
        ("127.0.0.1:5000", UsageError, r"set MLFLOW_TRACKING_URI to a server \(http://"),
        ("htp://127.0.0.1:5000", UsageError, r"set MLFLOW_TRACKING_URI to a server \(http://"),
        ("sqlite://", UsageError, "would keep nothing; name a file"),
        ("sqlite:///:memory:", UsageError, "would keep nothing; name a file"),
        ("http://me:secret@127.0.0.1:9", UnavailableError, "start it, or set MLFLOW_TRACKING_URI$"),
    ],
)
def test_an_address_that_does_not_work_names_its_own_way_out(tmp_path, monkeypatch, uri, error, repair):
    tracked.use_new_store(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as it is where only the extra `train` is installed
    failed = failure()
    assert type(failed) is error
    with pytest.raises(error, match=repair):
        raise failed
    assert "secret" not in str(failed)
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (401, "", (UsageError, "log in with MLFLOW_TRACKING_USERNAME")),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', (UsageError, "log in with MLFLOW_TRACKING_USER")),
        (403, "Invalid Host header - possible DNS rebinding attack detected", (UsageError, "with --allowed-hosts")),
        (404, "<html>", (UsageError, "no MLflow 2 or 3 answers there; correct MLFLOW_TRACKING_URI")),
        (200, "<html>a login page", (UsageError, "no MLflow 2 or 3 answers there; correct MLFLOW_TRACKING_URI")),
        (
            400,
            '{"error_code": "INVALID_PARAMETER_VALUE", "message": "x"}',
            (UsageError, "it refuses this; correct what"),
        ),
        (404, '{"detail": "Not Found"}', (UsageError, "no MLflow 2 or 3 answers there; correct MLFLOW_TRACKING_URI")),
        (413, "<html>", (UsageError, "take larger bodies (nginx: client_max_body_size)")),
        (500, '{"error_code": "INTERNAL_ERROR", "message": "x"}', (UnavailableError, "the server's log tells why")),
        (503, "", (UnavailableError, "start it, or set MLFLOW_TRACKING_URI$")),
        (429, "", (UnavailableError, "start it, or set MLFLOW_TRACKING_URI$")),
    ],
)
def test_what_a_server_answers_is_an_outage_or_a_refusal(tmp_path, monkeypatch, status, content, expected):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            """Be silent."""

    tracked.use_new_store(tmp_path, monkeypatch)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    failed = failure()
    server.shutdown()
    server.server_close()
    assert type(failed) is expected[0]
    assert expected[1] in f"{failed}$"


@pytest.mark.parametrize(
    ("error", "repair"),
    [
        (ModuleNotFoundError("No module named 'boto3'", name="boto3"), "install the Python module boto3$"),
        (ModuleNotFoundError("No module named 'mlflow'", name="mlflow"), r"run `pip install '\.\[train\]'`"),
        (RuntimeError("Unable to locate credentials"), "for S3, set AWS_ACCESS_KEY_ID"),
        (RuntimeError("FATAL:  no pg_hba.conf entry for host"), "correct the login in MLFLOW_TRACKING_URI"),
        (RuntimeError("(psycopg.errors.UniqueViolation) duplicate key"), r"at the same moment\): run this again$"),
        (RuntimeError("of a kind that nobody knows"), "correct what it names, or set MLFLOW_TRACKING_URI$"),
    ],
)
def test_what_is_no_outage_is_not_told_to_be_started(error, repair):
    with pytest.raises(DcganError, match=repair):
        raise failure_of(error, uri="postgresql://host/db")


def change_schema(revision: str) -> None:
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def older_revision() -> str:
    """The schema before the present one, as MLflow's own migrations tell."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store/db_migrations"))
    return scripts.get_revision("head").down_revision


def schema() -> str:
    with closing(sqlite3.connect("mlflow.db")) as database:
        (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        return revision


def command_in(failed: Exception) -> str:
    return str(failed).rpartition("run `")[2].rstrip("`")


def test_a_schema_of_an_older_mlflow_names_the_upgrade_and_one_of_a_newer_does_not(tmp_path, monkeypatch):
    tracked.use_new_store(tmp_path, monkeypatch)
    change_schema(older_revision())
    failed = failure()
    assert type(failed) is UnavailableError
    assert command_in(failed) == f"mlflow db upgrade sqlite:///{tmp_path}/mlflow.db"
    with_password = failure_of(failed.__cause__, uri="postgresql://me:secret@host/db")
    assert command_in(with_password) == 'mlflow db upgrade "$MLFLOW_TRACKING_URI"'
    change_schema("0123456789ab")
    newer = str(failure())
    assert "a newer MLflow than" in newer
    assert "db upgrade" not in newer


@pytest.mark.slow
def test_the_upgrade_is_printed_as_it_can_be_typed_for_any_path(tmp_path, monkeypatch):
    (tmp_path / AWKWARD).mkdir()
    tracked.use_new_store(tmp_path / AWKWARD, monkeypatch)
    head = schema()
    change_schema(older_revision())
    command = command_in(failure())
    change_schema(head)  # its tables are these
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [each.name for each in tmp_path.iterdir()] == [AWKWARD]


@pytest.mark.parametrize(
    ("spoil", "error", "repair"),
    [
        (lambda path: path.write_bytes(b"no database" * 100), UnavailableError, "bring it back from a copy, or move"),
        (lambda path: (path.unlink(), path.mkdir()), UnavailableError, "check the file, its folder and the rights"),
    ],
)
def test_a_damaged_store_is_no_outage(tmp_path, monkeypatch, spoil, error, repair):
    tracked.use_new_store(tmp_path, monkeypatch)
    spoil(Path("mlflow.db"))
    failed = failure()
    assert type(failed) is error
    assert repair in str(failed)
    assert "start it" not in str(failed)


def test_an_empty_file_is_a_store_that_was_never_created(tmp_path, monkeypatch):
    tracked.use_folder(tmp_path, monkeypatch)
    monkeypatch.setattr(store, "_create_tables", lambda path, **_: path.write_bytes(tracked.empty_store()))
    Path("mlflow.db").touch()
    with open_store() as client:
        assert client.get_experiment_by_name("Default")


def test_a_disk_that_is_full_is_named_with_its_file_and_not_mlflow():
    failed = failure_of(OSError(28, "No space left on device", "/data/mlruns/a"), uri="http://host")
    assert type(failed) is StorageError
    assert str(failed) == "/data/mlruns/a: no space left on the device; free some and run again"


def test_an_experiment_that_a_server_made_is_refused_with_the_way_out(tracked_workspace):
    tracked.client().create_experiment("tiny", artifact_location="mlflow-artifacts:/1")
    tracked.write_training([10])
    with pytest.raises(UsageError, match=r"made through an MLflow server.*or take another tracking.experiment"):
        tracked.sync(tracked.model())


@pytest.mark.parametrize(
    ("uri", "way_out"),
    [
        ("http://me:secret@host", "start the server with --serve-artifacts, and take another tracking.experiment"),
        ("postgresql://me:secret@host/db", "put an MLflow server before the database, with --serve-artifacts"),
    ],
)
def test_an_experiment_with_its_files_on_another_machine_is_refused(tmp_path, monkeypatch, uri, way_out):
    def found(folder: Path) -> SimpleNamespace:
        experiment = SimpleNamespace(experiment_id="1", lifecycle_stage="active", artifact_location=str(folder))
        return SimpleNamespace(tracking_uri=uri, get_experiment_by_name=lambda _: experiment)

    with pytest.raises(UsageError, match=way_out) as refused:
        find_or_create_experiment(found(tmp_path / "anna/dcgan/mlruns/1"), "mnist")
    assert "anna/dcgan/mlruns/1, which is not on this machine" in str(refused.value)
    assert "secret" not in str(refused.value)
    (tmp_path / "anna/dcgan/mlruns").mkdir(parents=True)
    assert find_or_create_experiment(found(tmp_path / "anna/dcgan/mlruns/1"), "mnist") == "1"


def test_a_training_does_not_wait_for_a_locked_store(tracked_workspace, capsys):
    tracked.start_training()
    with closing(sqlite3.connect("mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with LiveSync(tracked.TRAINING, experiment="tiny", patience=1.0):
            pass
        assert time.monotonic() - started < 3
    assert "MLflow" in capsys.readouterr().err


def test_a_training_does_not_wait_for_a_process_that_hangs_while_it_creates_the_store(tmp_path, monkeypatch):
    tracked.use_folder(tmp_path, monkeypatch)
    write_params(tmp_path)
    with FileLock(tmp_path / "mlflow.db.lock"):
        started = time.monotonic()
        with LiveSync(tracked.TRAINING, experiment="tiny", patience=0.2):
            pass
        assert time.monotonic() - started < 3


def test_a_database_that_is_away_is_asked_once(tmp_path, monkeypatch):
    asked = []

    def connect(*_: object, **options: object) -> None:
        asked.append(options)
        raise ConnectionRefusedError(111, "Connection refused")

    tracked.use_new_store(tmp_path, monkeypatch)
    monkeypatch.setattr(
        "sqlalchemy.create_engine", lambda _, connect_args: SimpleNamespace(connect=partial(connect, **connect_args))
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/db")
    failed = failure()
    assert asked == [{"connect_timeout": database.CONNECT_SECONDS}]
    assert "start it, or set MLFLOW_TRACKING_URI" in str(failed)


def lack(*_: object, **__: object) -> None:
    """Answer as a server without this endpoint."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

    raise MlflowException("404 != 200", error_code=ENDPOINT_NOT_FOUND)


def test_a_server_without_logged_models_gets_the_model_as_the_runs_artifact(tracked_workspace, monkeypatch):
    for call in ("create_logged_model", "get_logged_model", "search_logged_models", "log_outputs"):
        monkeypatch.setattr(f"mlflow.MlflowClient.{call}", lack)
    tracked.write_exported_model()
    for _ in range(2):
        assert "version 1 is champion" in tracked.dcgan_sync()[-1]
    run = tracked.assert_holds(tracked.model())
    assert "model.onnx" in tracked.artifacts(run, "generator")
    assert load_generator("models:/tiny-generator@champion").info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
