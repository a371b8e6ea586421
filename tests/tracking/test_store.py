"""The store's address follows the workspace; a sqlite file is created once, under any path, and may be moved."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.tracking import store
from dcgan.tracking.store import find_or_create_experiment, open_store


def store_a_file(content: str) -> str:
    """The id of a new run that has it as an artifact."""
    Path("note.txt").write_text(content)
    with open_store() as mlflow:
        run_id = mlflow.create_run(find_or_create_experiment(mlflow, "tiny")).info.run_id
        mlflow.log_artifact(run_id, "note.txt")
    return run_id


def read_a_file(run_id: str) -> str:
    with open_store() as mlflow:
        return Path(mlflow.download_artifacts(run_id, "note.txt")).read_text()


def test_the_store_is_in_the_workspaces_root_and_the_environment_wins(tmp_path, monkeypatch):
    tracked.use_folder(tmp_path, monkeypatch)
    copy = tmp_path / ".dvc/tmp/exps/copy"  # as DVC makes one for an experiment
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    for given, expected in {
        "": f"sqlite:///{tmp_path}/mlflow.db",
        "sqlite:///runs/mlflow.db?timeout=5": f"sqlite:///{tmp_path}/runs/mlflow.db?timeout=5",
        "sqlite:////elsewhere/mlflow.db": "sqlite:////elsewhere/mlflow.db",
        "http://tracking:5000": "http://tracking:5000",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        assert store.tracking_uri() == expected
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path / ".dvc")
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db", "the nearest folder that DVC manages"


def test_only_a_sqlite_file_is_ours_to_create():
    for uri, file in {
        "sqlite:////data/mlflow.db?timeout=5": Path("/data/mlflow.db"),
        "sqlite+pysqlite:////a%2520b%3Fc/mlflow.db": Path("/a%20b?c/mlflow.db"),
        "sqlite:///:memory:": None,
        "sqlite:///file:/data/mlflow.db?mode=ro&uri=true": None,
        "postgresql://me@host/db": None,
    }.items():
        assert store.sqlite_file(uri) == file


@pytest.mark.parametrize("name", ["plain", "a%2Fb 50%", "what?", "#1", "häuser & q'uote;$(x)+*[a]:@\"{}"])
def test_any_path_will_do(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    tracked.use_folder(tmp_path / name, monkeypatch)
    run_id = store_a_file("content")
    assert read_a_file(run_id) == "content"
    assert (tmp_path / name / "mlruns/tiny" / run_id / "artifacts/note.txt").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name], "MLflow has made no folder beside it"


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_workspace_that_was_moved_or_copied_keeps_its_artifacts(tmp_path, monkeypatch, move):
    before, after = tmp_path / "before%20", tmp_path / "after it"
    before.mkdir()
    tracked.use_folder(before, monkeypatch)
    run_id = store_a_file("old")
    monkeypatch.chdir(tmp_path)
    move(before, after)
    if move is shutil.copytree:
        shutil.rmtree(before / "mlruns")
    tracked.use_folder(after, monkeypatch)
    assert read_a_file(run_id) == "old"
    assert read_a_file(store_a_file("new")) == "new"
    assert not (before / "mlruns").exists()
    with closing(sqlite3.connect(after / "mlflow.db")) as database:
        left = [
            row
            for table, column in store.LOCATIONS.items()
            for row in database.execute(f"SELECT {column} FROM {table}")
        ]
    assert {str(location).startswith((after / "mlruns").as_uri()) for (location,) in left} == {True}


def test_a_store_elsewhere_keeps_its_addresses(tmp_path, monkeypatch):
    tracked.use_new_store(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "workspace"))
    before = tracked.client().get_experiment("0").artifact_location
    with open_store() as mlflow:
        assert mlflow.get_experiment("0").artifact_location == before


def test_a_creation_that_fails_or_is_killed_leaves_no_store_and_is_cleared_away(tmp_path, monkeypatch):
    def half_create(database, *, artifacts):
        for name in ("mlflow.db.new", "mlflow.db.new-journal"):
            database.with_name(name).write_bytes(b"half a store")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_create_tables", half_create)
        with pytest.raises(OSError, match="no space"):
            store.create_store(tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    store.create_store(tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_what_the_user_set_is_kept(tmp_path, monkeypatch):
    tracked.use_new_store(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    with open_store():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
