"""Names in MLflow are data or refused at once; addresses follow the workspace, relative ones too, and when it moves."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

import tracking_store as tracked
from dcgan.commands.model_source import load_generator
from dcgan.config import workspace
from dcgan.config.params_file import changed, load_params
from dcgan.config.schema import Params
from dcgan.system.errors import UsageError
from dcgan.system.files import sha256_of
from dcgan.tracking.store import find_or_create_experiment, open_store, registry_uri, tracking_uri
from tiny_workspace import write_params

AWKWARD = "a b%2Fc#d?e'f\"g&ü日$(h)"
REFUSED_NAMES = ["team/digits", "a:b", "a@b", "a?b", "..", "a\nb", "a\tb", "x" * 257, "", "  "]
NAMES = ["it's", "both \" and '", "a'; --", "a#b", "100%20", "ü 日本", "x" * 256]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_a_name_that_mlflow_refuses_or_cannot_find_again_is_refused_in_params_yaml(tmp_path, name):
    write_params(tmp_path, tracking={"registered_model": name})
    with pytest.raises(UsageError, match=r"tracking\.registered_model: .* expected a name of at most 256 characters"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("path", ["tracking.experiment", "tracking.registered_model"])
def test_names_of_any_other_kind_are_data(path):
    for name in NAMES:
        section, field = path.split(".")
        assert getattr(getattr(changed(Params(), {path: name}), section), field) == name
    with pytest.raises(UsageError, match=path):
        changed(Params(), {path: "x" * 257})


def test_a_model_with_both_kinds_of_quotes_in_its_name_is_registered_once_and_found(tracked_workspace):
    name = NAMES[1]
    write_params(tracked_workspace, tracking={"registered_model": name})
    tracked.write_exported_model()
    for _ in range(2):
        tracked.dcgan_sync()
    assert load_generator(f"models:/{name}@champion").info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
    assert [each.version for each in tracked.client().search_model_versions("")] == [1]


@pytest.mark.parametrize("name", ["x" * 256, "日" * 256, ".", "..", "a/../../b", "~", "/etc"])
def test_an_experiments_folder_is_one_folder_in_mlruns(tracked_workspace, name):
    with open_store() as client:
        find_or_create_experiment(client, name)
        location = urlparse(client.get_experiment_by_name(name).artifact_location).path
    folder = Path(unquote(location))
    assert folder.parent == tracked_workspace / "mlruns"
    folder.mkdir(parents=True)


def test_relative_addresses_are_relative_to_the_workspace_also_within_a_copy_of_it(tmp_path, monkeypatch):
    tracked.use_folder(tmp_path, monkeypatch)
    copy = tmp_path / ".dvc/tmp/exps/copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    for given, expected in {
        "sqlite:///mlflow.db": f"sqlite:///{tmp_path}/mlflow.db",
        "sqlite+pysqlite:///runs/mlflow.db": f"sqlite:///{tmp_path}/runs/mlflow.db",
        "sqlite:///~/mlflow.db": f"sqlite:///{Path.home()}/mlflow.db",
        "./mlruns": f"{tmp_path}/mlruns",
        "file:mlruns": f"file:{tmp_path}/mlruns",
        "file:///elsewhere": "file:///elsewhere",
        "/elsewhere": "/elsewhere",
        "databricks": "databricks",
        "databricks://profile": "databricks://profile",
        "http://host:5000/prefix": "http://host:5000/prefix",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", given)
        assert tracking_uri() == registry_uri() == expected


@pytest.mark.parametrize("first_experiment", ["file:///elsewhere/0", "mlflow-artifacts:/0", None])
@pytest.mark.parametrize("place", ["mlflow.db", "runs/mlflow.db"])
def test_a_moved_store_is_followed_whoever_created_it_and_wherever_it_lies_in_the_workspace(
    tmp_path, monkeypatch, first_experiment, place
):
    before, after = tmp_path / "before", tmp_path / AWKWARD
    (before / place).parent.mkdir(parents=True)
    tracked.use_folder(before, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    (before / place).write_bytes(tracked.empty_store())
    with closing(sqlite3.connect(before / place)) as database, database:
        database.execute("DELETE FROM experiments")  # as `mlflow gc` does with one that was deleted
        if first_experiment:  # as `mlflow ui` creates it
            row = (0, "Default", first_experiment, "active")
            columns = "experiment_id, name, artifact_location, lifecycle_stage"
            database.execute(f"INSERT INTO experiments ({columns}) VALUES (?, ?, ?, ?)", row)
    Path("note.txt").write_text("content")
    with open_store() as client:
        run_id = client.create_run(find_or_create_experiment(client, "tiny")).info.run_id
        client.log_artifact(run_id, "note.txt")
    monkeypatch.chdir(tmp_path)
    shutil.move(before, after)
    tracked.use_folder(after, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    with open_store() as client:
        assert Path(client.download_artifacts(run_id, "note.txt")).read_text() == "content"
        client.log_artifact(client.create_run(find_or_create_experiment(client, "tiny")).info.run_id, "note.txt")
    assert not before.exists()


def test_a_store_whose_files_lie_in_another_folder_of_the_workspace_has_not_moved(tmp_path, monkeypatch):
    """As MLflow itself makes one: its files are in `mlruns` of the folder that it ran in."""
    tracked.use_folder(tmp_path, monkeypatch)
    Path("db").mkdir()
    Path("db/mlflow.db").write_bytes(tracked.empty_store())
    files = tmp_path / "mlruns/0"
    files.mkdir(parents=True)
    with closing(sqlite3.connect("db/mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (str(files),))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///db/mlflow.db")
    with open_store() as client:
        assert client.get_experiment("0").artifact_location == str(files)


def test_an_experiment_whose_files_are_elsewhere_on_purpose_stays_there(tracked_workspace):
    elsewhere = "file:///mnt/share/mlruns/others"
    tracked.client().create_experiment("others", artifact_location=elsewhere)
    with open_store() as client:
        assert client.get_experiment_by_name("others").artifact_location == elsewhere
