"""`dcgan sync`: what MLflow lacks of the workspace is sent, its registry included, and nothing twice."""

import subprocess
import sys

import pytest

import tracking_store as tracked
from dcgan.commands.sync import sync_workspace
from dcgan.config import workspace
from dcgan.system.errors import BusyError, UnavailableError
from dcgan.system.files import write_bytes
from dcgan.system.locks import exclusive
from tiny_workspace import write_dataset, write_params

pytestmark = [pytest.mark.filterwarnings(warning) for warning in tracked.MLFLOW_WARNINGS]

AWAY = "http://somebody:secret@127.0.0.1:9"
NOTHING = "sent 0 points, 0 grids and 0 artifacts to run "


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch) -> None:
    """The current folder, with an empty store."""
    tracked.use_new_store(tmp_path, monkeypatch)
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)


def sync(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that it prints."""
    capsys.readouterr()
    sync_workspace()
    return capsys.readouterr().out.splitlines()


def test_a_workspace_that_mlflow_never_heard_of_is_sent_and_registered_and_then_left_alone(tmp_path, capsys):
    tracked.write_exported_model()
    sent, registered = sync(capsys)
    (run,) = tracked.runs_in()
    store = f"to run {run.info.run_id} at sqlite:///{tmp_path}/mlflow.db"
    assert sent == f"sent 33 points, 3 grids and 5 artifacts {store}"
    assert registered.startswith("tiny-generator version 1 is champion: the first")
    sent, registered = sync(capsys)
    assert sent == f"sent 0 points, 0 grids and 0 artifacts {store}"
    assert registered.startswith("tiny-generator version 1 is champion: is the champion already")
    assert len(tracked.client().search_model_versions("name = 'tiny-generator'")) == 1
    assert not workspace.REGISTRATION.exists(), "it is the stage's to write"


def test_reports_on_other_weights_are_neither_sent_nor_registered(capsys):
    tracked.write_exported_model()
    tracked.write_training(weights=b"retrained, but not evaluated yet")
    (sent,) = sync(capsys)
    assert sent.startswith("sent 9 points, 3 grids and 1 artifacts to run ")


def test_an_interrupted_training_is_killed_in_mlflow_and_an_older_model_is_sent_as_well(capsys):
    tracked.write_training([10, 20, 30])
    tracked.write_training([10, 20], weights=None)
    assert [line.partition(" to run")[0] for line in sync(capsys)] == [
        "sent 6 points, 2 grids and 0 artifacts",
        "sent 0 points, 0 grids and 1 artifacts",  # it cannot tell its points any more
    ]
    assert sorted(run.info.status for run in tracked.runs_in()) == ["FINISHED", "KILLED"]
    assert [line.startswith(NOTHING) for line in sync(capsys)] == [True, True]


def test_while_another_sends_from_this_workspace_it_is_75():
    tracked.write_training()
    with exclusive(workspace.LOCK), pytest.raises(BusyError):
        sync_workspace()
    assert tracked.runs_in() == []


def test_a_server_that_is_away_is_69_in_one_line_without_its_password(monkeypatch):
    tracked.write_training()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    with pytest.raises(UnavailableError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 failed"):
        sync_workspace()


@pytest.mark.parametrize("is_damaged", [False, True])
def test_where_nothing_was_trained_or_a_file_is_damaged_it_is_65(tmp_path, is_damaged):
    if is_damaged:
        tracked.write_training()
        write_bytes(workspace.HISTORY, b'{"step": 10}\n{"st\n{"step": 30}\n')
    done = subprocess.run(
        [sys.executable, "-m", "dcgan.cli", "sync"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 65
    assert str(workspace.HISTORY if is_damaged else workspace.GENERATOR) in done.stderr
