"""`dcgan sync`: what MLflow lacks of the workspace is sent, its registry included, and nothing twice."""

import subprocess
import sys

import pytest

import tracking_store as tracked
from dcgan.config import workspace
from dcgan.system.files import write_bytes
from tiny_workspace import write_dataset
from tracking_store import dcgan_sync

pytestmark = pytest.mark.usefixtures("tracked_workspace")

NOTHING = "sent 0 points, 0 grids and 0 artifacts to run "


def test_a_workspace_that_mlflow_never_heard_of_is_sent_and_registered_and_then_left_alone(tmp_path):
    tracked.write_exported_model()
    sent, registered = dcgan_sync()
    (run,) = tracked.runs()
    store = f"to run {run.info.run_id} at sqlite:///{tmp_path}/mlflow.db"
    assert sent == f"sent 17 points, 4 grids and 7 artifacts {store}"
    assert registered.startswith("tiny-generator version 1 is champion: the first")
    sent, registered = dcgan_sync()
    assert sent == f"sent 0 points, 0 grids and 0 artifacts {store}"
    assert registered.startswith("tiny-generator version 1 is champion: is the champion already")
    assert len(tracked.client().search_model_versions("name = 'tiny-generator'")) == 1
    assert not workspace.REGISTRATION.exists(), "it is the stage's to write"


def test_reports_on_other_weights_and_a_data_set_that_was_replaced_are_neither_sent_nor_registered(tmp_path):
    tracked.write_exported_model()
    tracked.write_training(weights=b"retrained, but not evaluated yet")
    write_dataset(tmp_path, per_class=3)
    (sent,) = dcgan_sync()
    assert sent.startswith("sent 9 points, 4 grids and 1 artifacts to run ")
    tracked.assert_holds(tracked.model())


def test_an_interrupted_training_is_killed_in_mlflow_and_an_older_model_is_sent_as_well():
    tracked.write_training([10, 20, 30])
    tracked.write_training([10, 20], weights=None)
    assert [line.partition(" to run")[0] for line in dcgan_sync()] == [
        "sent 6 points, 2 grids and 0 artifacts",
        "sent 0 points, 0 grids and 2 artifacts",  # it cannot tell its points any more
    ]
    assert sorted(run.info.status for run in tracked.runs()) == ["FINISHED", "KILLED"]
    assert [line.startswith(NOTHING) for line in dcgan_sync()] == [True, True]


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
